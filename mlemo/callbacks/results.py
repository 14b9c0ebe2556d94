"""What a run leaves behind: predictions of each sample, a result table, and the paths of everything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pandas as pd
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from rich.console import Console

from mlemo.callbacks.evaluation import OutputsCallback
from mlemo.callbacks.result_table import Intervals, described_rule, doubts, optimism_of, print_paths, print_results
from mlemo.callbacks.rule_comparison import RuleComparison
from mlemo.callbacks.run_folder import run_folder
from mlemo.callbacks.threshold_tuning import ThresholdTuning, tuned_rule
from mlemo.metrics import bootstrap_intervals
from mlemo.metrics.calibration import expected_calibration_error
from mlemo.metrics.intervals import BUDGET, resamples_within_budget, with_few_positives
from mlemo.metrics.outputs import Outputs
from mlemo.metrics.weighted import DECISION_METRICS
from mlemo.models import MultiLabelModel
from mlemo.models.evaluation import Stage
from mlemo.runs.atomic import write_atomically
from mlemo.runs.files import PER_CLASS, PREDICTIONS, RESULTS, RULES, THRESHOLDS
from mlemo.runs.predictions import Predictions, write_predictions
from mlemo.thresholds import ThresholdRule
from mlemo.utils.messages import visible

__all__ = ["Results"]


class Results(OutputsCallback):
    """Writes predictions of each sample, and prints a table of the metrics with the paths of everything.

    In the run's folder: ``predictions_<stage>.csv`` (see :func:`mlemo.runs.predictions.write_predictions`);
    ``thresholds.json``; ``results_<stage>.json`` with every metric, and those of the test with their 95 %
    intervals over the texts (:func:`mlemo.metrics.bootstrap_intervals`) under ``intervals``, and labels with too few
    positives for a narrow one under ``few_positives``;
    ``per_class_<stage>.csv`` with precision, recall and F1 of each label at 0.5 and tuned, its average precision,
    expected calibration error and positives in training; ``rules_<stage>.csv`` with Jaccard, micro-F1 and macro-F1
    under several decision rules (see :class:`mlemo.callbacks.rule_comparison.RuleComparison`). After training,
    validation and test stand side by side. Below them, and as ``optimism`` in ``results_val.json``, is what fitting the
    rule on the rows that are scored adds on validation: the tuned score minus the cross-fitted one, for which the rule
    that decides a row is fitted on the other folds. For a model
    that predicts in several ways (``MultiLabelModel.inferences``) the table has the test under each; ``inference`` in
    the JSON file names the one of the metrics without a prefix, which the other files belong to, and that of `predict`
    and `classify`.

    Args:
        predictions: Whether the predictions are written.
        resamples: Resamples of each interval; 0 for none. Fewer are drawn, or none, where texts and labels are many
            (:func:`mlemo.metrics.intervals.resamples_within_budget`), with a line below the table and ``bounded`` in
            the JSON file.

    Raises:
        ValueError: ``resamples`` is negative.
    """

    def __init__(self, predictions: bool = True, resamples: int = 1000) -> None:
        super().__init__()
        if resamples < 0:
            raise ValueError(f"Results.resamples must be at least 0, found {resamples}")
        self.predictions, self.resamples = predictions, resamples
        self._intervals = Intervals()
        self._paths: dict[str, Path] = {}
        self._values: dict[str, dict[str, float]] = {}
        self._rules = RuleComparison()
        self._after_fit = False

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember that validation and test of this model's best checkpoint may follow."""
        self._after_fit = True
        self._rules = RuleComparison()

    def on_outputs(self, trainer: Trainer, pl_module: MultiLabelModel, stage: Stage, outputs: Outputs) -> None:
        """Write the predictions and the thresholds."""
        if trainer.state.fn == TrainerFn.FITTING or not trainer.is_global_zero:
            return
        folder = run_folder(trainer)
        tuning = tuned_rule(trainer, stage, outputs)
        if tuning is not None:
            self._paths["thresholds"] = _write_thresholds(folder, tuning, pl_module.label_space.names)
        if stage != "predict":
            self._paths["per class"] = PER_CLASS.path(folder, stage)
            write_atomically(self._paths["per class"], _per_class(trainer, outputs, tuning).to_csv(index=False))
            scores = self._rules.add(stage, outputs, trainer.ckpt_path, None if tuning is None else tuning.rule)
            self._paths["rules"] = RULES.path(folder, stage)
            write_atomically(self._paths["rules"], scores.to_csv())
        if stage == "test":
            self._intervals = self._test_intervals(outputs, tuning, pl_module.label_space.names)
        if self.predictions:
            predictions = self._predictions(trainer, pl_module, stage, outputs, tuning)
            write_predictions(predictions)
            self._paths["predictions"] = predictions.path

    def _test_intervals(self, outputs: Outputs, tuning: ThresholdTuning | None, names: tuple[str, ...]) -> Intervals:
        """95 % intervals of all metrics, and as ``tuned_…`` of those of decisions under the tuned rule."""
        if not self.resamples or not outputs.mask.any():
            return Intervals()
        shape, bounded = outputs.probabilities.shape, None
        resamples = resamples_within_budget(self.resamples, *shape)
        if resamples < self.resamples:
            what = f"{resamples:,} resamples for the 95 % intervals" if resamples else "no 95 % intervals"
            bounded = (
                f"{what}: {self.resamples:,} resamples of {shape[0]:,} texts × {shape[1]:,} labels are above the "
                f"{BUDGET:,} entries that a run may take for them; `mlemo compare RUN --resamples R` draws any number"
            )
        if not resamples:
            return Intervals(bounded=bounded)
        settings: dict[str, Any] = {"mask": outputs.mask, "resamples": resamples}
        found = bootstrap_intervals(outputs.probabilities, outputs.targets, **settings)
        del found["skipped_classes"]
        if tuning is not None:
            decisions = tuning.decided(outputs).decisions
            tuned = bootstrap_intervals(
                outputs.probabilities, outputs.targets, decisions, metrics=DECISION_METRICS, **settings
            )
            found |= {f"tuned_{name}": interval for name, interval in tuned.items()}
        ends = {name: (low, high) for name, (low, _, high) in found.items()}
        return Intervals(ends, with_few_positives(outputs.targets, outputs.mask, names), bounded)

    @staticmethod
    def _predictions(
        trainer: Trainer, pl_module: MultiLabelModel, stage: Stage, outputs: Outputs, tuning: ThresholdTuning | None
    ) -> Predictions:
        path = PREDICTIONS.path(run_folder(trainer), stage)
        corpus = trainer.datamodule.corpus("val" if stage == "val" else "test")  # type: ignore[attr-defined]  # every mlemo datamodule has it
        ids = [corpus.ids[row] for row in outputs.index.tolist()]
        gold, probabilities = outputs.targets.bool() & outputs.mask, outputs.probabilities
        decided = outputs.decided() if tuning is None else tuning.decided(outputs, outputs.inference)
        return Predictions(path, pl_module.label_space, ids, gold, outputs.mask, decided.decisions, probabilities)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the values of a validation on its own; print them unless a test follows."""
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._keep(trainer, "val")
            if not self._after_fit:
                self._print(trainer)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the result table."""
        self._keep(trainer, "test")
        self._print(trainer)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say where the predictions are."""
        if trainer.is_global_zero:
            print_paths(trainer, self._paths)

    def _keep(self, trainer: Trainer, stage: str) -> None:
        prefix = f"{stage}/"
        values = {k.removeprefix(prefix): float(v) for k, v in trainer.callback_metrics.items() if k.startswith(prefix)}
        self._values[stage] = values
        if trainer.is_global_zero:
            path = RESULTS.path(run_folder(trainer), stage)
            model = cast(MultiLabelModel, trainer.lightning_module)
            content: dict[str, Any] = {"rule": described_rule(trainer), **values}
            if warnings := doubts(trainer):
                content["warnings"] = warnings
            if model.inferences[1:]:
                content["inference"] = {stage: model.inferences[0], "predict": model.prediction_inference}
            if stage == "val":
                content["optimism"] = optimism_of(values)
            if stage == "test" and self._intervals.ends:
                content["intervals"] = {name: list(ends) for name, ends in self._intervals.ends.items()}
                content["few_positives"] = dict(self._intervals.few_positives)
            if stage == "test" and self._intervals.bounded:
                content["bounded"] = self._intervals.bounded
            write_atomically(path, json.dumps(content, indent=1) + "\n")
            self._paths["results"] = path

    def _print(self, trainer: Trainer) -> None:
        if not trainer.is_global_zero:
            return
        print_results(trainer, self._values, self._intervals)
        if self._rules.scores:
            Console().print(self._rules.table())
        for line in doubts(trainer):
            Console().print(visible(f"warning: {line}"), soft_wrap=True, highlight=False, markup=False)
        if trainer.ckpt_path:
            self._paths["checkpoint"] = Path(trainer.ckpt_path)
        print_paths(trainer, self._paths)


def _per_class(trainer: Trainer, outputs: Outputs, tuning: ThresholdTuning | None) -> pd.DataFrame:
    train = trainer.datamodule.corpus("train")  # type: ignore[attr-defined]  # every mlemo datamodule has it
    table: dict[str, Any] = {"label": train.label_space.names, "training_positives": train.labels.sum(0).int().tolist()}
    half = outputs.decided().label_values
    table |= {"support": half["support"].tolist(), "ap": outputs.label_average_precision.tolist()}
    decided = {"": half} if tuning is None else {"": half, "tuned_": tuning.decided(outputs).label_values}
    for prefix, values in decided.items():
        table |= {prefix + name: values[name].tolist() for name in ("precision", "recall", "f1")}
    errors = expected_calibration_error(outputs.probabilities, outputs.targets, outputs.mask)
    return pd.DataFrame(table | {"calibration_error": errors.tolist()})


def _write_thresholds(folder: Path, tuning: ThresholdTuning, names: tuple[str, ...]) -> Path:
    path = THRESHOLDS.path(folder)
    content = _described(tuning.rule, names)
    if tuning.other_rules:
        content["other_inferences"] = {key: _described(rule, names) for key, rule in tuning.other_rules.items()}
    write_atomically(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return path


def _described(rule: ThresholdRule, names: tuple[str, ...]) -> dict[str, Any]:
    content: dict[str, Any] = {"rule": rule.describe()}
    cuts = rule.thresholds()
    if cuts is not None:
        content["thresholds"] = dict(zip(names, cuts.expand(len(names)).tolist()))
    elif rule.state_dict():
        content["state"] = rule.state_dict()
    return content
