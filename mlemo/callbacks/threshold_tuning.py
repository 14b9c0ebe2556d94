"""Threshold tuning: a decision rule fitted on validation, kept in the checkpoint, used by test and predict."""

from __future__ import annotations

import copy
import logging
from typing import Any, cast

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from mlemo.callbacks.outputs import Outputs, OutputsCallback, Stage
from mlemo.metrics import MultiLabelMetrics
from mlemo.models import MultiLabelModel
from mlemo.thresholds import (
    CrossFittedThreshold,
    FixedThreshold,
    ThresholdRule,
    cross_fitted_decisions,
    rule_of_inference,
    rule_to_dict,
    rules_from_checkpoint,
    rules_to_checkpoint,
)

__all__ = ["ThresholdTuning", "tuned_rule"]

log = logging.getLogger(__name__)


class ThresholdTuning(OutputsCallback):
    """Fits ``rule`` on the validation split after each training epoch and logs every decision metric under it.

    The validation outputs are those of the averaged weights where these are used, so rule and weights belong
    together. The fitted rule stands in the checkpoint under its own key, ``thresholds``, as plain values; loading a
    checkpoint for test, predict or classification takes it from there. Metrics under the rule are logged as
    ``val/tuned_…`` (optimistic: fitted on the same rows) and ``test/tuned_…`` beside those at 0.5.

    A model that predicts in several ways (``MultiLabelModel.inferences``) has a fitted rule for each, and is decided
    under each by its own. Outside of training the scores of the further ways are logged as ``test/<inference>_…`` and
    ``test/<inference>_tuned_…``, and ``test/<inference>_label_changes`` is the share of samples whose label sets are
    other ones than under the first way.

    A ``rule`` that is another one than the checkpoint's takes its place: it is fitted when training goes on or on
    validation, and in test and prediction it can be used where it learns nothing from data.

    Args:
        rule: Any rule of ``mlemo.thresholds``; ``None`` for that of the checkpoint, and in training for the exact F1
            cut of each class, averaged over 5 folds.

    Raises:
        ValueError: A test or prediction is requested with a rule that learns and is not the checkpoint's.
    """

    def __init__(self, rule: ThresholdRule | None = None) -> None:
        super().__init__()
        self.rule = CrossFittedThreshold() if rule is None else rule
        self.other_rules: dict[str, ThresholdRule] = {}  #: by the name of each further inference
        self._requested = rule
        self.fitted = False

    def on_outputs(self, trainer: Trainer, pl_module: MultiLabelModel, stage: Stage, outputs: Outputs) -> None:
        """Fit in training, decide, and log."""
        if stage == "predict":
            return
        if trainer.state.fn == TrainerFn.FITTING or (stage == "val" and not self.fitted):
            self.rule.fit(outputs.probabilities, outputs.targets, outputs.mask)
            for name, probabilities in outputs.others.items():
                self.other_rules[name] = copy.deepcopy(self.rule).fit(probabilities, outputs.targets, outputs.mask)
            self.fitted = True
        decisions = self.decide(outputs.probabilities)
        for name, value in _metrics(pl_module, outputs, outputs.probabilities, decisions).of_decisions().items():
            pl_module.log(f"{stage}/tuned_{name}", value, prog_bar=name == "macro_f1", sync_dist=True)
        if stage == "val":
            left_out = cross_fitted_decisions(self.rule, outputs.probabilities, outputs.targets, outputs.mask)
            for name, value in _metrics(pl_module, outputs, outputs.probabilities, left_out).of_decisions().items():
                pl_module.log(f"val/cross_fitted_{name}", value, sync_dist=True)
        if trainer.state.fn == TrainerFn.FITTING:
            return
        for inference, probabilities in outputs.others.items():
            if self.rule.learns and inference not in self.other_rules:
                continue  # a checkpoint of mlemo 0.1.0, with a rule for the first inference alone
            others = self.decide(probabilities, inference)
            tuned = _metrics(pl_module, outputs, probabilities, others).of_decisions()
            values = {f"tuned_{name}": value for name, value in tuned.items()}
            values |= _metrics(pl_module, outputs, probabilities, probabilities >= 0.5).compute()
            values["label_changes"] = (others != decisions).any(dim=1).float().mean()
            for name, value in values.items():
                pl_module.log(f"{stage}/{inference}_{name}", value, sync_dist=True)

    def decide(self, probabilities: Tensor, inference: str | None = None) -> Tensor:
        """Label sets ``(N, C)`` bool under the rule that was fitted under an inference (``None``: the first)."""
        if not self.fitted:
            raise ValueError(
                "the threshold rule has not been fitted: the checkpoint holds none, and nothing was validated"
            )
        rule = self.rule if inference is None else self.other_rules.get(inference, self.rule)
        return rule.predict(probabilities)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Put the fitted rules into the checkpoint."""
        if self.fitted:
            first = cast(MultiLabelModel, pl_module).inferences[0]
            checkpoint.update(rules_to_checkpoint({first: self.rule, **self.other_rules}))

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Take the fitted rules from the checkpoint."""
        model = cast(MultiLabelModel, pl_module)
        first = model.inferences[0]
        rules = rules_from_checkpoint(checkpoint, first)
        if rules:
            used = model.prediction_inference if trainer.state.fn == TrainerFn.PREDICTING else first
            stored = rule_of_inference(rules, used)
            if self._requested is None or _definition(self._requested) == _definition(stored):
                self.rule, self.fitted = rules.pop(first, stored), True
                self.other_rules = rules
                return
            self.rule, self.fitted = self._requested, not self._requested.learns
            self.other_rules = {}
            if not self.fitted and trainer.state.fn in (TrainerFn.TESTING, TrainerFn.PREDICTING):
                raise ValueError(
                    f"thresholds.rule: the checkpoint holds “{stored.describe()}”, requested is "
                    f"“{self.rule.describe()}”, which has to be fitted on validation; leave thresholds.rule out, or "
                    "fit rules on the predictions of a run: python -m mlemo.experiments.rules RUN"
                )
        elif trainer.state.fn != TrainerFn.FITTING:
            self.rule, self.other_rules, self.fitted = FixedThreshold(0.5), {}, True
            rank_zero_only(log.warning)("the checkpoint holds no thresholds; labels are decided at 0.5")


def _metrics(model: MultiLabelModel, outputs: Outputs, probabilities: Tensor, decisions: Tensor) -> MultiLabelMetrics:
    metrics = MultiLabelMetrics(model.label_space, sync_on_compute=False)  # the rows are gathered already
    metrics.update(probabilities, outputs.targets, decisions=decisions, mask=outputs.mask)
    return metrics


def _definition(rule: ThresholdRule) -> dict[str, Any]:
    """A rule without what was fitted."""
    return {key: value for key, value in rule_to_dict(rule).items() if key != "state"}


def tuned_rule(trainer: Trainer) -> ThresholdTuning | None:
    """The trainer's threshold tuning where it has one with a fitted rule."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # set by Trainer.__init__
        if isinstance(callback, ThresholdTuning) and callback.fitted:
            return callback
    return None
