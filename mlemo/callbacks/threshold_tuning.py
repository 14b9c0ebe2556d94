"""Threshold tuning: a decision rule fitted on validation, kept in the checkpoint, used by test and predict."""

from __future__ import annotations

import copy
import logging
import weakref
from dataclasses import replace
from typing import Any, cast

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from mlemo.callbacks.evaluation import OutputsCallback
from mlemo.metrics.outputs import Decided, Outputs
from mlemo.models import MultiLabelModel
from mlemo.models.evaluation import Stage
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

__all__ = ["ThresholdTuning", "tuned_rule", "tuned_values"]

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

    Place it anywhere among the callbacks: one before it that reads the decisions of a validation has the rule fitted.

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
        self._fitted_on: weakref.ref[Outputs] | None = None

    def fit(self, trainer: Trainer, stage: Stage, outputs: Outputs) -> None:
        """Fit the rules on a validation in training, or where none is fitted; once on the same outputs.

        A callback that reads the decisions and comes before this one calls it first, through `tuned_rule`.
        """
        if stage != "val" or (self._fitted_on is not None and self._fitted_on() is outputs):
            return
        if trainer.state.fn == TrainerFn.FITTING or not self.fitted:
            self.rule.fit(outputs.probabilities, outputs.targets, outputs.mask)
            for name, probabilities in outputs.others.items():
                self.other_rules[name] = copy.deepcopy(self.rule).fit(probabilities, outputs.targets, outputs.mask)
            self.fitted, self._fitted_on = True, weakref.ref(outputs)

    def on_outputs(self, trainer: Trainer, pl_module: MultiLabelModel, stage: Stage, outputs: Outputs) -> None:
        """Fit in training, decide, and log."""
        if stage == "predict":
            return
        self.fit(trainer, stage, outputs)
        tuned = self.decided(outputs)
        for name, value in tuned_values(self.rule, outputs, stage).items():
            pl_module.log(f"{stage}/{name}", value, prog_bar=name == "tuned_macro_f1", sync_dist=True)
        if trainer.state.fn == TrainerFn.FITTING:
            return
        for inference in outputs.others:
            if self.rule.learns and inference not in self.other_rules:
                continue  # a checkpoint of mlemo 0.1.0, with a rule for the first inference alone
            other = self.decided(outputs, inference)
            values = {f"tuned_{name}": value for name, value in other.values.items()}
            values |= outputs.values(inference)
            values["label_changes"] = (other.decisions != tuned.decisions).any(dim=1).float().mean()
            for name, value in values.items():
                pl_module.log(f"{stage}/{inference}_{name}", value, sync_dist=True)

    def decided(self, outputs: Outputs, inference: str | None = None) -> Decided:
        """Decisions and their metrics under the rule that was fitted under an inference (``None``: the first).

        Raises:
            ValueError: No rule is fitted.
        """
        return outputs.decided(self._rule_of(inference), inference)

    def decide(self, probabilities: Tensor, inference: str | None = None) -> Tensor:
        """Label sets ``(N, C)`` bool under the rule that was fitted under an inference (``None``: the first).

        Raises:
            ValueError: No rule is fitted.
        """
        return self._rule_of(inference).predict(probabilities)

    def _rule_of(self, inference: str | None) -> ThresholdRule:
        if not self.fitted:
            raise ValueError(
                "the threshold rule has not been fitted: the checkpoint holds none, and nothing was validated"
            )
        return self.rule if inference is None else self.other_rules.get(inference, self.rule)

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
                    "fit rules on the predictions of a run: mlemo rules RUN"
                )
        elif trainer.state.fn != TrainerFn.FITTING:
            self.rule, self.other_rules, self.fitted = FixedThreshold(0.5), {}, True
            rank_zero_only(log.warning)("the checkpoint holds no thresholds; labels are decided at 0.5")


def tuned_values(rule: ThresholdRule, outputs: Outputs, stage: Stage) -> dict[str, Tensor]:
    """Metrics of decisions under a fitted rule, ``tuned_…``; of validation also under rules that are cross-fitted.

    Args:
        rule: The rule, on validation fitted on these outputs.
        outputs: Of the stage.
        stage: ``"val"`` or ``"test"``.
    """
    tuned = outputs.decided(rule)
    values = {f"tuned_{name}": value for name, value in tuned.values.items()}
    if stage == "val":
        left_out = cross_fitted_decisions(rule, outputs.probabilities, outputs.targets, outputs.mask)
        fitted = replace(tuned, decisions=left_out).values
        values |= {f"cross_fitted_{name}": value for name, value in fitted.items()}
    return values


def _definition(rule: ThresholdRule) -> dict[str, Any]:
    """A rule without what was fitted."""
    return {key: value for key, value in rule_to_dict(rule).items() if key != "state"}


def tuned_rule(trainer: Trainer, stage: Stage | None = None, outputs: Outputs | None = None) -> ThresholdTuning | None:
    """Return the trainer's threshold tuning where it has one with a fitted rule.

    Args:
        trainer: The trainer.
        stage: Of ``outputs``.
        outputs: What is to be decided: the rule is fitted on it first where it has to be.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # set by Trainer.__init__
        if isinstance(callback, ThresholdTuning):
            if stage is not None and outputs is not None:
                callback.fit(trainer, stage, outputs)
            if callback.fitted:
                return callback
    return None
