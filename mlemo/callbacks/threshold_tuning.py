"""Threshold tuning: a decision rule fitted on validation, kept in the checkpoint, used by test and predict."""

from __future__ import annotations

import logging
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only

from mlemo.callbacks.outputs import Outputs, OutputsCallback, Stage
from mlemo.metrics import MultiLabelMetrics
from mlemo.metrics.weighted import DECISION_METRICS
from mlemo.models import MultiLabelModel
from mlemo.thresholds import FixedThreshold, PerClassThreshold, ThresholdRule, rule_from_dict, rule_to_dict

__all__ = ["ThresholdTuning", "tuned_rule"]

log = logging.getLogger(__name__)


class ThresholdTuning(OutputsCallback):
    """Fits ``rule`` on the validation split after each training epoch and logs every decision metric under it.

    The validation outputs are those of the averaged weights where these are used, so rule and weights belong
    together. The fitted rule stands in the checkpoint under its own key, ``thresholds``, as plain values; loading a
    checkpoint for test, predict or classification takes it from there. Metrics under the rule are logged as
    ``val/tuned_…`` (optimistic: fitted on the same rows) and ``test/tuned_…`` beside those at 0.5.

    A ``rule`` that is another one than the checkpoint's takes its place: it is fitted when training goes on or on
    validation, and in test and prediction it can be used where it learns nothing from data.

    Args:
        rule: Any rule of ``mlemo.thresholds``; ``None`` for that of the checkpoint, and in training for the exact F1
            cut of each class, averaged over 5 folds.

    Raises:
        ValueError: A test or prediction is asked for with a rule that learns and is not the checkpoint's.
    """

    KEY = "thresholds"

    def __init__(self, rule: ThresholdRule | None = None) -> None:
        super().__init__()
        self.rule = PerClassThreshold(cross_fit=5) if rule is None else rule
        self._asked = rule
        self.fitted = False

    def on_outputs(self, trainer: Trainer, pl_module: MultiLabelModel, stage: Stage, outputs: Outputs) -> None:
        """Fit in training, decide, and log."""
        if stage == "predict":
            return
        if trainer.state.fn == TrainerFn.FITTING or (stage == "val" and not self.fitted):
            self.rule.fit(outputs.probabilities, outputs.targets, outputs.mask)
            self.fitted = True
        metrics = MultiLabelMetrics(pl_module.label_space, sync_on_compute=False)  # the rows are gathered already
        metrics.update(
            outputs.probabilities, outputs.targets, decisions=self.decide(outputs.probabilities), mask=outputs.mask
        )
        for name, value in metrics.compute().items():
            if name in DECISION_METRICS:
                pl_module.log(f"{stage}/tuned_{name}", value, prog_bar=name == "macro_f1", sync_dist=True)

    def decide(self, probabilities: Any) -> Any:
        """Label sets ``(N, C)`` bool under the fitted rule."""
        if not self.fitted:
            raise ValueError(
                "the threshold rule has not been fitted: the checkpoint holds none, and nothing was validated"
            )
        return self.rule.predict(probabilities)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Put the fitted rule into the checkpoint."""
        if self.fitted:
            checkpoint[self.KEY] = rule_to_dict(self.rule)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Take the fitted rule from the checkpoint."""
        if self.KEY in checkpoint:
            stored = rule_from_dict(checkpoint[self.KEY])
            if self._asked is None or _definition(self._asked) == _definition(stored):
                self.rule, self.fitted = stored, True
                return
            self.rule, self.fitted = self._asked, not self._asked.learns
            if not self.fitted and trainer.state.fn in (TrainerFn.TESTING, TrainerFn.PREDICTING):
                raise ValueError(
                    f"thresholds.rule: the checkpoint holds “{stored.describe()}”, asked for is "
                    f"“{self.rule.describe()}”, which has to be fitted on validation; leave thresholds.rule out, or "
                    "fit rules on the predictions of a run: python -m mlemo.studies.rules RUN"
                )
        elif trainer.state.fn != TrainerFn.FITTING:
            self.rule, self.fitted = FixedThreshold(0.5), True
            rank_zero_only(log.warning)("the checkpoint holds no thresholds; labels are decided at 0.5")


def _definition(rule: ThresholdRule) -> dict[str, Any]:
    """A rule without what was fitted."""
    return {key: value for key, value in rule_to_dict(rule).items() if key != "state"}


def tuned_rule(trainer: Trainer) -> ThresholdTuning | None:
    """The trainer's threshold tuning where it has one with a fitted rule."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # set by Trainer.__init__
        if isinstance(callback, ThresholdTuning) and callback.fitted:
            return callback
    return None
