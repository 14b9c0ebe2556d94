"""The teacher of a distilled training: its logits for the training texts, and what the student keeps of its score."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from mlemo.callbacks.evaluation import OutputsCallback
from mlemo.callbacks.run_manifest import corpus_checksum
from mlemo.callbacks.threshold_tuning import tuned_rule
from mlemo.inference import load
from mlemo.labels import LabelSpace
from mlemo.losses import DistillationLoss
from mlemo.metrics.outputs import Outputs
from mlemo.models import MultiLabelModel
from mlemo.models.evaluation import Stage
from mlemo.nn.feature_cache import read_features, write_features
from mlemo.runs.files import RESULTS
from mlemo.runs.loading import find_checkpoint
from mlemo.runs.manifest import read_manifest, sha256
from mlemo.runs.place import folder_of_checkpoint
from mlemo.utils.cache import user_cache
from mlemo.utils.hardware import has_bf16

__all__ = ["Teacher", "teacher_logits"]

log = logging.getLogger(__name__)

SMALLEST = 1e-6  #: probability below which, and above 1 minus which, logits are cut


class Teacher(OutputsCallback):
    """Prepares each :class:`mlemo.losses.DistillationLoss` of a training, and compares student and teacher on the test.

    When training starts, the first process computes the logits of the training texts with `teacher_logits` and sends
    them to the others. At the end ``results_test.json`` has ``teacher_tuned_macro_f1``, from the teacher's own results
    on the same test split, and ``kept_tuned_macro_f1``, the student's macro-F1 divided by it.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the logits of the teacher to the loss.

        Raises:
            FileNotFoundError: There is no such teacher.
            ValueError: The teacher has other labels, the corpus has no texts, or texts without labels are given to a
                training without a teacher.
        """
        data, losses = trainer.datamodule, list(_distillation(pl_module))  # type: ignore[attr-defined]  # set by Trainer.fit
        if data.unlabeled is not None and not losses:
            raise ValueError(
                f"data.unlabeled: nothing is learned from the texts of {data.unlabeled} without a teacher; set "
                "model.loss to DistillationLoss"
            )
        for loss in losses:
            texts, space = data.corpus("train").texts, cast(MultiLabelModel, pl_module).label_space
            if texts is None:
                raise ValueError(f"the teacher {loss.teacher} classifies texts, and the corpus has features")
            first = trainer.is_global_zero
            logits = teacher_logits(loss.teacher, texts, space, pl_module.device) if first else torch.empty(0)
            loss.teach(trainer.strategy.broadcast(logits).to(pl_module.device))

    def on_outputs(self, trainer: Trainer, pl_module: MultiLabelModel, stage: Stage, outputs: Outputs) -> None:
        """Log the teacher's macro-F1 on the test, and the part of it that the student keeps."""
        tuning = tuned_rule(trainer, stage, outputs)
        if stage != "test" or tuning is None:
            return
        for loss in _distillation(pl_module):
            checksum = corpus_checksum(trainer.datamodule.corpus("test"))  # type: ignore[attr-defined]  # set by Trainer.test
            teacher = _score(loss.teacher, checksum)
            if teacher is None:
                rank_zero_only(log.info)(f"the teacher {loss.teacher} has no results on this test split")
                continue
            student = float(tuning.decided(outputs).values["macro_f1"])
            pl_module.log("test/teacher_tuned_macro_f1", teacher, sync_dist=True)
            pl_module.log("test/kept_tuned_macro_f1", student / teacher, sync_dist=True)
            rank_zero_only(log.info)(
                f"the student keeps {student / teacher:.1%} of the teacher's macro-F1 on the test: {student:.4f} of "
                f"{teacher:.4f}"
            )


def teacher_logits(teacher: str | Path, texts: Sequence[str], labels: LabelSpace, device: torch.device) -> Tensor:
    """Logits ``(N, C)`` of a teacher's probabilities, on the CPU.

    They are computed in bfloat16 (mixed) where the hardware supports it, and cached under the hash of the teacher's
    checkpoint and the texts, in ``$XDG_CACHE_HOME/mlemo/teachers``, by default ``~/.cache/mlemo/teachers``.

    Args:
        teacher: Folder of a run or an ensemble, or a checkpoint.
        texts: N texts.
        labels: Labels of the student.
        device: Where the teacher computes.

    Raises:
        FileNotFoundError: There is no such teacher.
        ValueError: The teacher has other labels, or does not classify texts.
    """
    file, bf16 = find_checkpoint(teacher), has_bf16()
    content = {"teacher": sha256(file), "labels": labels.names, "texts": list(texts), "bf16": bf16}
    key = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    folder = user_cache() / "teachers"
    logits = read_features(folder, key)
    if logits is not None:
        log.info(f"logits of the teacher for {len(texts):,} texts read from {folder}")
        return logits
    log.info(f"computing the logits of the teacher {teacher} for {len(texts):,} texts")
    # creating a model draws random numbers, and the training must not depend on the cache
    with torch.random.fork_rng(devices=[]):
        classifier = load(file, device)
    if classifier.labels != labels.names:
        found, expected = ", ".join(classifier.labels), ", ".join(labels.names)
        raise ValueError(f"the teacher {teacher} has the labels {found}, the student {expected}")
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        logits = classifier.probabilities(texts).logit(SMALLEST)
    write_features(folder, key, logits)
    return logits


def _distillation(model: LightningModule) -> Iterator[DistillationLoss]:
    return (part for part in cast(MultiLabelModel, model).loss.modules() if isinstance(part, DistillationLoss))


def _score(teacher: str, checksum: str) -> float | None:
    """Macro-F1 of a teacher on the test split with a checksum; ``None`` where it was not tested on it."""
    path = Path(teacher)
    folder = path if path.is_dir() else folder_of_checkpoint(path)
    manifest = None if folder is None else read_manifest(folder)
    if folder is None or manifest is None or manifest.tested is None:
        return None
    if manifest.data["splits"]["test"]["sha256"] != checksum or not RESULTS.path(folder, "test").is_file():
        return None
    score: float | None = json.loads(RESULTS.path(folder, "test").read_text(encoding="utf-8")).get("tuned_macro_f1")
    return score or None  # nothing is kept of a score of 0
