"""What a run leaves behind: predictions of each sample, a result table, and the paths of everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from rich.console import Console

from mlemo.callbacks.evaluation import OutputsCallback
from mlemo.callbacks.result_files import intervals_of_test, write_per_class, write_results, write_thresholds
from mlemo.callbacks.result_table import (
    Intervals,
    described_rule,
    doubts,
    inference_notes,
    print_paths,
    print_results,
)
from mlemo.callbacks.rule_comparison import RuleComparison
from mlemo.callbacks.run_folder import run_folder
from mlemo.callbacks.threshold_tuning import ThresholdTuning, tuned_rule
from mlemo.metrics.outputs import Outputs
from mlemo.models import MultiLabelModel
from mlemo.models.evaluation import Stage
from mlemo.runs.atomic import write_atomically
from mlemo.runs.files import PREDICTIONS, RULES
from mlemo.runs.predictions import Predictions, write_predictions
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
        folder, names = run_folder(trainer), pl_module.label_space.names
        tuning = tuned_rule(trainer, stage, outputs)
        rule = None if tuning is None else tuning.rule
        if tuning is not None:
            self._paths["thresholds"] = write_thresholds(folder, tuning.rule, names, tuning.other_rules)
        if stage != "predict":
            positives = trainer.datamodule.corpus("train").labels.sum(0)  # type: ignore[attr-defined]  # every mlemo datamodule has it
            self._paths["per class"] = write_per_class(
                folder, stage, outputs, rule=rule, names=names, training_positives=positives
            )
            scores = self._rules.add(stage, outputs, trainer.ckpt_path, rule)
            self._paths["rules"] = RULES.path(folder, stage)
            write_atomically(self._paths["rules"], scores.to_csv())
        if stage == "test":
            self._intervals = intervals_of_test(outputs, rule, names, self.resamples)
        if self.predictions:
            predictions = self._predictions(trainer, pl_module, stage, outputs, tuning)
            write_predictions(predictions)
            self._paths["predictions"] = predictions.path

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

    def _keep(self, trainer: Trainer, stage: Stage) -> None:
        prefix = f"{stage}/"
        values = {k.removeprefix(prefix): float(v) for k, v in trainer.callback_metrics.items() if k.startswith(prefix)}
        self._values[stage] = values
        if trainer.is_global_zero:
            model = cast(MultiLabelModel, trainer.lightning_module)
            more: dict[str, Any] = {}
            if model.inferences[1:]:
                more["inference"] = {stage: model.inferences[0], "predict": model.prediction_inference}
            self._paths["results"] = write_results(
                run_folder(trainer),
                stage,
                values,
                rule=described_rule(trainer),
                intervals=self._intervals,
                warnings=doubts(trainer),
                **more,
            )

    def _print(self, trainer: Trainer) -> None:
        if not trainer.is_global_zero:
            return
        model = cast(MultiLabelModel, trainer.lightning_module)
        title = f"{type(model).__name__} on {type(trainer.datamodule).__name__}"  # type: ignore[attr-defined]  # set by Trainer.fit
        notes = [f"tuned: {described_rule(trainer)}", *inference_notes(model)]
        print_results(title, notes, self._values, self._intervals, model.inferences[1:])
        if self._rules.scores:
            Console().print(self._rules.table())
        for line in doubts(trainer):
            Console().print(visible(f"warning: {line}"), soft_wrap=True, highlight=False, markup=False)
        if trainer.ckpt_path:
            self._paths["checkpoint"] = Path(trainer.ckpt_path)
        print_paths(trainer, self._paths)
