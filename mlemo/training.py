"""``mlemo fit | validate | test | predict``: LightningCLI over the models and corpora of mlemo."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

from mlemo.callbacks import (
    BestCheckpoint,
    Cost,
    EarlyStopping,
    EvaluationFigures,
    FiniteLoss,
    LossWeightMonitor,
    ModelSummary,
    ProgressBar,
    Results,
    ThresholdTuning,
)
from mlemo.callbacks.run_folder import run_folder
from mlemo.cli.arguments import take_trust
from mlemo.cli.parser import Parser, fill_in
from mlemo.cli.quiet import silence_libraries
from mlemo.cli.summary import training_summary
from mlemo.data import EmotionDataModule
from mlemo.hardware import has_bf16
from mlemo.labels import LabelSpace
from mlemo.models import MultiLabelModel
from mlemo.paths import import_trusted
from mlemo.runs.atomic import write_atomically
from mlemo.runs.checkpoint_io import AtomicCheckpointIO
from mlemo.runs.files import CONFIG
from mlemo.runs.loading import ReadAlready, find_checkpoint, read_checkpoint, take_over
from mlemo.runs.stored_config import INFERENCE, only_known_imports, stored_config

__all__ = ["MlemoCLI", "default_precision", "instantiate", "run"]

log = logging.getLogger(__name__)


#: Callbacks that every training has, each with a key of its own in the config.
STANDING_CALLBACKS: Mapping[str, type[Callback]] = {
    "thresholds": ThresholdTuning,
    "figures": EvaluationFigures,
    "loss_weights": LossWeightMonitor,
    "learning_rates": LearningRateMonitor,
    "cost": Cost,
    "results": Results,
    "progress": ProgressBar,
    "summary": ModelSummary,
    "finite_loss": FiniteLoss,
    "early_stopping": EarlyStopping,
    "checkpoint": BestCheckpoint,
    "last_checkpoint": ModelCheckpoint,
}


def default_precision() -> str:
    """The fastest precision that leaves scores unchanged: bf16 mixed where the hardware multiplies in it, else float32.

    On a GPU without bf16 this is fp16 mixed with loss scaling.
    """
    if has_bf16():
        return "bf16-mixed"
    return "16-mixed" if torch.cuda.is_available() else "32-true"


class SaveConfig(SaveConfigCallback):
    """Saves the resolved config in the run's folder and in every checkpoint, so that a checkpoint stands alone."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the file; Lightning asks for this in the main process alone, once."""
        write_atomically(CONFIG.path(run_folder(trainer)), self._yaml)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Put the config into the checkpoint as YAML."""
        checkpoint["config"] = self._yaml

    @cached_property
    def _yaml(self) -> str:
        # writing it takes a good part of the time that an epoch over feature vectors takes, and it does not change
        return self.parser.dump(self.config, skip_none=False)


class MlemoCLI(LightningCLI):
    """LightningCLI with the label space linked from the data to the model, and mlemo's callbacks always there.

    Args:
        args: As for LightningCLI.
        checkpoint: The checkpoint that ``--ckpt_path`` names, read by `mlemo.runs.loading.read_checkpoint`.
        kwargs: As for LightningCLI.
    """

    def __init__(self, *args: Any, checkpoint: dict[str, Any] | None = None, **kwargs: Any) -> None:
        self._checkpoint = checkpoint
        super().__init__(*args, **kwargs)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Link data and model; give each standing callback a key of its own."""
        parser.link_arguments(
            "data.label_space", "model.init_args.label_space", LabelSpace.as_dict, apply_on="instantiate"
        )
        parser.add_argument("--test_after_fit", type=bool, default=True, help="fit only: score the best checkpoint")
        for key, callback in STANDING_CALLBACKS.items():
            parser.add_lightning_class_args(callback, key)
        parser.set_defaults(
            {
                "data": {"class_path": "mlemo.data.SyntheticEmotions"},  # the corpus that needs no file
                # 5 folds: the best or nearly the best test macro-F1 of all rules on five corpora (README)
                "thresholds.rule": {"class_path": "mlemo.thresholds.CrossFittedThreshold"},
                "learning_rates.logging_interval": "step",
                "checkpoint.filename": "best",
                # Lightning's save_last writes only when the best checkpoint changes
                "last_checkpoint.filename": "last",
                "last_checkpoint.enable_version_counter": False,
            }
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse; without Lightning's warning about `args` beside those of the process, which is how `run` works."""
        self.config = parser.parse_args(args)

    def before_instantiate_classes(self) -> None:
        """Fill in what follows other settings, before any part is made."""
        fill_in(self.config if self.subcommand is None else self.config[self.subcommand])

    def instantiate_classes(self) -> None:
        """Make trainer, data and model; a checkpoint brings its encoder, whose files need not be there any more."""
        super().instantiate_classes()
        if self._checkpoint is None:
            return
        take_over(self.model, self._checkpoint, self._get(self.config, "ckpt_path"))
        if self.subcommand != "fit":
            self.trainer.strategy.checkpoint_io = ReadAlready(self._checkpoint, type(self.datamodule).__qualname__)

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> Trainer:
        """Make the trainer without the standing callbacks that its settings rule out."""
        unwanted: tuple[type[Callback], ...] = ()
        if config.get("enable_progress_bar") is False:
            unwanted += (ProgressBar,)
        if config.get("logger") is False:
            unwanted += (LearningRateMonitor,)
        if config.get("enable_model_summary") is False:
            unwanted += (ModelSummary,)
        trainer = super()._instantiate_trainer(config, [one for one in callbacks if not isinstance(one, unwanted)])
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:  # one of the user or of a strategy stays
            trainer.strategy.checkpoint_io = AtomicCheckpointIO()
        return trainer

    def _parse_ckpt_path(self) -> None:
        """Nothing to do: `run` has taken the whole config from the checkpoint, not its hyper-parameters alone."""

    def before_fit(self) -> None:
        """Log what is about to run."""
        standing = {key: self._get(self.config_init, key) for key in STANDING_CALLBACKS}
        seed = self._get(self.config, "seed_everything")
        lines = training_summary(self.model, self.datamodule, self.trainer, standing, seed)
        rank_zero_only(log.info)("\n".join(lines))

    def after_fit(self) -> None:
        """Validate and test the best checkpoint, so that a run ends with a result."""
        if not self._get(self.config, "test_after_fit"):
            return
        best = self._get(self.config_init, "checkpoint").best_model_path
        if not best:
            rank_zero_warn("nothing is tested: no validation in training chose a checkpoint")
        else:
            for evaluate in (self.trainer.validate, self.trainer.test):
                evaluate(self.model, datamodule=self.datamodule, ckpt_path=best, weights_only=True, verbose=False)


def run(command: str, words: Sequence[str]) -> MlemoCLI:
    """Run a training command.

    Args:
        command: ``fit``, ``validate``, ``test`` or ``predict``.
        words: The rest of the command line.

    Raises:
        FileNotFoundError: ``--ckpt_path`` names no file.
        ValueError: The checkpoint cannot be read.
    """
    words, trust = take_trust(words)
    path = _checkpoint_of(words)
    if path is None:
        import_trusted(trust)
        return _run(command, words)
    file = find_checkpoint(path)
    checkpoint = read_checkpoint(file)
    config = _config_of_checkpoint(command, checkpoint, file, trust)
    with only_known_imports(config, trust), tempfile.TemporaryDirectory() as folder:
        stored = Path(folder, "config.yaml")
        stored.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        return _run(command, [f"--config={stored}", *words, f"--ckpt_path={file}", "--weights_only=true"], checkpoint)


def _run(command: str, words: list[str], checkpoint: dict[str, Any] | None = None) -> MlemoCLI:
    # Lightning's own table of all metrics gives way to that of `Results`; all of them stand in its JSON file
    quiet = ["--verbose=false"] if command in ("validate", "test") else []
    if command != "fit":
        warnings.filterwarnings("ignore", message="The dirpath has changed.*")  # no best checkpoint is looked for
    return _cli([command, *quiet, *words], run=True, checkpoint=checkpoint)


def instantiate(words: Sequence[str]) -> MlemoCLI:
    """Model, datamodule and trainer of a config, without running anything: the start of a notebook.

    Args:
        words: Settings as on the command line, without a command, such as ``["--config", "my.yaml"]``.

    Returns:
        A ``MlemoCLI`` with ``model``, ``datamodule`` and ``trainer``.
    """
    return _cli(list(words), run=False)


def _cli(words: list[str], run: bool, checkpoint: dict[str, Any] | None = None) -> MlemoCLI:
    silence_libraries()
    return MlemoCLI(
        MultiLabelModel,
        EmotionDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        parser_class=Parser,
        save_config_callback=SaveConfig,
        save_config_kwargs={"save_to_log_dir": False},  # not by Lightning, which does not write atomically
        auto_configure_optimizers=False,
        seed_everything_default=42,
        trainer_defaults={
            "precision": default_precision(),
            "max_epochs": 100,
            "log_every_n_steps": 10,
            "use_distributed_sampler": False,  # mlemo's samplers share the rows among processes themselves
            "logger": {"class_path": "TensorBoardLogger", "init_args": {"save_dir": "runs", "name": ""}},
        },
        args=words,
        run=run,
        checkpoint=checkpoint,
    )


def _checkpoint_of(words: Sequence[str]) -> str | None:
    """What the last ``--ckpt_path`` among words names; ``None`` where there is none, or null."""
    found = None
    for place, word in enumerate(words):
        if word == "--ckpt_path" and place + 1 < len(words):
            found = words[place + 1]
        elif word.startswith("--ckpt_path="):
            found = word.removeprefix("--ckpt_path=")
    return None if found == "null" else found


def _config_of_checkpoint(
    command: str, checkpoint: Mapping[str, Any], file: Path, trust: Sequence[str]
) -> dict[str, Any]:
    """The settings of a checkpoint that a command begins with, before those of the command line.

    ``fit`` goes on with all of them. The others take data, model and decision rule, and the precision, on which scores
    depend; callbacks, loggers and the rest of the trainer are the user's own.
    """
    try:
        config = stored_config(checkpoint, None if command == "fit" else INFERENCE, trust)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    if command != "fit":
        return config
    for key in ("ckpt_path", "weights_only", "return_predictions", "verbose"):
        config.pop(key, None)  # arguments of the command that was run then, not of this one
    trainer = config.get("trainer")
    logger = trainer.get("logger") if isinstance(trainer, dict) else None
    if isinstance(logger, dict) and "version" in logger.get("init_args", {}):
        logger["init_args"]["version"] = file.resolve().parent.parent.name  # go on in the folder of the run
    return config
