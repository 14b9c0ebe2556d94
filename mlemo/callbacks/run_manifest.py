"""The manifest of a run, kept up to date while it is trained and tested."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.trainer.states import TrainerFn

import mlemo
from mlemo.callbacks.run_folder import run_folder
from mlemo.data.corpus import Corpus
from mlemo.data.strings import parts_of
from mlemo.nn.encoder import EncoderSource
from mlemo.nn.encoder_reference import public_name
from mlemo.nn.features import TextFeatures
from mlemo.nn.frozen_encoder import FrozenEncoder
from mlemo.runs.files import CONFIG
from mlemo.runs.manifest import Manifest, now, read_manifest, sha256, write_manifest
from mlemo.runs.surroundings import git_state, versions
from mlemo.utils.serialization import class_path

__all__ = ["PACKAGES", "RunManifest", "corpus_checksum", "data_fingerprint", "model_facts"]

PACKAGES = ("mlemo", "torch", "lightning", "transformers")
SPLITS = ("train", "val", "test")


class RunManifest(Callback):
    """Writes ``run.json`` when a training begins and ends and when its checkpoint is tested.

    See :class:`mlemo.runs.manifest.Manifest` for what is in it.

    Args:
        command: Words of the command line behind ``mlemo``.
        name: Name of the run.
        settings: Settings of the corpus.
    """

    def __init__(
        self, command: Sequence[str] = (), name: str | None = None, settings: Mapping[str, Any] | None = None
    ) -> None:
        self.command, self.name, self.settings = list(command), name, dict(settings or {})
        self._manifest: Manifest | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what the run is; earlier results are no longer those of its checkpoints."""
        if not trainer.is_global_zero:
            return
        folder = run_folder(trainer)
        before = self._before(folder)
        config = CONFIG.path(folder)
        self._manifest = Manifest(
            state="running",
            started=now() if before is None else before.started,
            command=self.command,
            name=self.name if before is None or self.name is not None else before.name,
            config=sha256(config) if config.is_file() else None,
            data=data_fingerprint(trainer.datamodule, self.settings),  # type: ignore[attr-defined]  # set by Trainer.fit
            model=model_facts(pl_module),
            versions=versions(PACKAGES),
            git=git_state(Path(mlemo.__file__).parents[1]),
        )
        write_manifest(folder, self._manifest)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write that the training is complete."""
        # a training that is continued when it is complete has no epoch of its own that it was stopped in
        callbacks = [one for one in trainer.callbacks if isinstance(one, EarlyStopping)]  # type: ignore[attr-defined]  # set by Trainer.__init__
        stopped = any(one.stopped_epoch or one.wait_count >= one.patience for one in callbacks)
        self._write(trainer, state="stopped early" if stopped else "finished", ended=now())

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write that the training was interrupted; a test that was leaves a complete training."""
        if trainer.state.fn == TrainerFn.FITTING and self._manifest is not None and self._manifest.state == "running":
            failed = isinstance(exception, Exception)
            error = f"{type(exception).__name__}: {exception}" if failed else None
            self._write(trainer, state="failed" if failed else "interrupted", ended=now(), error=error)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write which checkpoint was tested, where it is one of the folder."""
        folder = run_folder(trainer)
        if not trainer.is_global_zero or trainer.ckpt_path is None:
            return
        checkpoint = Path(trainer.ckpt_path)
        manifest = self._manifest or self._before(folder)
        if manifest is not None and checkpoint.resolve().is_relative_to(folder.resolve()):
            self._manifest = manifest.test_of(folder, checkpoint)
            write_manifest(folder, self._manifest)

    def _write(self, trainer: Trainer, **changes: Any) -> None:
        if trainer.is_global_zero and self._manifest is not None:
            self._manifest = replace(self._manifest, **changes)
            write_manifest(run_folder(trainer), self._manifest)

    @staticmethod
    def _before(folder: Path) -> Manifest | None:
        try:
            return read_manifest(folder)
        except ValueError:  # it is replaced
            return None


def data_fingerprint(data: LightningDataModule, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Identify the data of a run: class, settings, and of each split rows and a checksum."""
    splits = {split: data.corpus(split) for split in SPLITS}  # type: ignore[attr-defined]  # every mlemo datamodule has it
    return {
        "class": class_path(type(data)),
        "settings": dict(settings),
        "splits": {split: {"rows": len(corpus), "sha256": corpus_checksum(corpus)} for split, corpus in splits.items()},
    }


def model_facts(model: LightningModule) -> dict[str, Any]:
    """Describe a model whose network is created.

    Returns:
        ``class``: dotted path; ``parameters`` and ``trained``: numbers of parameters; ``encoder``, if there is one:
        ``name``, ``pretrained``, and of a trained encoder also ``type``, ``layers``, ``width`` and ``parameters``.
    """
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    facts: dict[str, Any] = {
        "class": class_path(type(model)),
        "parameters": sum(size for size, _ in sizes),
        "trained": sum(size for size, trained in sizes if trained),
    }
    encoder, source = getattr(model, "encoder", None), getattr(model, "source", None)
    if isinstance(source, EncoderSource) and encoder is not None:
        facts["encoder"] = {
            "name": type(source).__name__ if source.pretrained is None else public_name(source.pretrained.name),
            "pretrained": source.pretrained is not None,
            "type": getattr(encoder.config, "model_type", None),
            "layers": getattr(encoder.config, "num_hidden_layers", None),
            "width": getattr(encoder.config, "hidden_size", None),
            "parameters": sum(parameter.numel() for parameter in encoder.parameters()),
        }
    elif isinstance(features := getattr(model, "features", None), FrozenEncoder):
        facts["encoder"] = {"name": public_name(features.encoder), "pretrained": True}
    elif isinstance(features, TextFeatures):
        facts["encoder"] = {"name": type(features).__name__, "pretrained": False}
    return facts


def corpus_checksum(corpus: Corpus) -> str:
    """SHA-256 of names and ids, labels and the mask."""
    digest = hashlib.sha256("\0".join([*corpus.label_space.names, ""]).encode("utf-8", "surrogatepass"))
    for part in parts_of(corpus.ids):
        digest.update("".join(f"\0{identifier}" for identifier in part).encode("utf-8", "surrogatepass"))
    digest.update(corpus.labels.bool().numpy().tobytes())
    digest.update(corpus.mask.numpy().tobytes())
    return digest.hexdigest()
