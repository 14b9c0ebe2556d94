"""What a run leaves behind: predictions of each sample, a result table, and the paths of everything."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any, cast

import pandas as pd
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.trainer.states import TrainerFn
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlemo.callbacks.outputs import Outputs, OutputsCallback, Stage
from mlemo.callbacks.rule_comparison import RuleComparison
from mlemo.callbacks.run_folder import run_folder
from mlemo.callbacks.threshold_tuning import ThresholdTuning, tuned_rule
from mlemo.data.checks import fold_warnings
from mlemo.metrics import MultiLabelMetrics, bootstrap_intervals
from mlemo.metrics.calibration import expected_calibration_error
from mlemo.metrics.intervals import BUDGET, FEW_POSITIVES, resamples_within_budget, with_few_positives
from mlemo.metrics.weighted import DECISION_METRICS
from mlemo.models import MultiLabelModel
from mlemo.runs.atomic import write_atomically
from mlemo.runs.files import PER_CLASS, PREDICTIONS, RESULTS, RULES, THRESHOLDS
from mlemo.runs.predictions import Predictions, write_predictions
from mlemo.thresholds import ThresholdRule
from mlemo.utils.messages import enumerated, visible

__all__ = ["Results"]

SHOWN = ("jaccard", "micro_f1", "macro_f1", "samples_f1", "micro_precision", "micro_recall", "hamming_loss", "macro_ap",
         "label_ranking_ap", "ranking_loss", "coverage_error", "loss")  # fmt: skip

WITH_INTERVAL = ("jaccard", "micro_f1", "macro_f1", "macro_ap")


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
        self._intervals: dict[str, tuple[float, float]] = {}
        self._bounded: str | None = None
        self._few_positives: dict[str, int] = {}
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
        tuning = tuned_rule(trainer)
        if tuning is not None:
            self._paths["thresholds"] = _write_thresholds(folder, tuning, pl_module.label_space.names)
        if stage != "predict":
            self._paths["per class"] = PER_CLASS.path(folder, stage)
            write_atomically(self._paths["per class"], _per_class(trainer, outputs, tuning).to_csv(index=False))
            scores = self._rules.add(stage, outputs, trainer.ckpt_path, None if tuning is None else tuning.rule)
            self._paths["rules"] = RULES.path(folder, stage)
            write_atomically(self._paths["rules"], scores.to_csv())
        if stage == "test":
            self._intervals = self._test_intervals(outputs, tuning)
            self._few_positives = with_few_positives(outputs.targets, outputs.mask, pl_module.label_space.names)
        if self.predictions:
            predictions = self._predictions(trainer, pl_module, stage, outputs, tuning)
            write_predictions(predictions)
            self._paths["predictions"] = predictions.path

    def _test_intervals(self, outputs: Outputs, tuning: ThresholdTuning | None) -> dict[str, tuple[float, float]]:
        """95 % intervals of all metrics, and as ``tuned_…`` of those of decisions under the tuned rule."""
        self._bounded = None
        if not self.resamples or not outputs.mask.any():
            return {}
        shape = outputs.probabilities.shape
        resamples = resamples_within_budget(self.resamples, *shape)
        if resamples < self.resamples:
            what = f"{resamples:,} resamples for the 95 % intervals" if resamples else "no 95 % intervals"
            self._bounded = (
                f"{what}: {self.resamples:,} resamples of {shape[0]:,} texts × {shape[1]:,} labels are above the "
                f"{BUDGET:,} entries that a run may take for them; `mlemo compare RUN --resamples R` draws any number"
            )
        if not resamples:
            return {}
        settings: dict[str, Any] = {"mask": outputs.mask, "resamples": resamples}
        found = bootstrap_intervals(outputs.probabilities, outputs.targets, **settings)
        del found["skipped_classes"]
        if tuning is not None:
            decisions = tuning.decide(outputs.probabilities)
            tuned = bootstrap_intervals(
                outputs.probabilities, outputs.targets, decisions, metrics=DECISION_METRICS, **settings
            )
            found |= {f"tuned_{name}": interval for name, interval in tuned.items()}
        return {name: (low, high) for name, (low, _, high) in found.items()}

    @staticmethod
    def _predictions(
        trainer: Trainer, pl_module: MultiLabelModel, stage: Stage, outputs: Outputs, tuning: ThresholdTuning | None
    ) -> Predictions:
        path = PREDICTIONS.path(run_folder(trainer), stage)
        corpus = trainer.datamodule.corpus("val" if stage == "val" else "test")  # type: ignore[attr-defined]  # every mlemo datamodule has it
        ids = [corpus.ids[row] for row in outputs.index.tolist()]
        gold, probabilities = outputs.targets.bool() & outputs.mask, outputs.probabilities
        decided = probabilities >= 0.5 if tuning is None else tuning.decide(probabilities, outputs.inference)
        return Predictions(path, pl_module.label_space, ids, gold, outputs.mask, decided, probabilities)

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
            self._print_paths(trainer)

    def _keep(self, trainer: Trainer, stage: str) -> None:
        prefix = f"{stage}/"
        values = {k.removeprefix(prefix): float(v) for k, v in trainer.callback_metrics.items() if k.startswith(prefix)}
        self._values[stage] = values
        if trainer.is_global_zero:
            path = RESULTS.path(run_folder(trainer), stage)
            model = cast(MultiLabelModel, trainer.lightning_module)
            content: dict[str, Any] = {"rule": _rule(trainer), **values}
            if warnings := _warnings(trainer):
                content["warnings"] = warnings
            if model.inferences[1:]:
                content["inference"] = {stage: model.inferences[0], "predict": model.prediction_inference}
            if stage == "val":
                content["optimism"] = _optimism(values)
            if stage == "test" and self._intervals:
                content["intervals"] = {name: list(ends) for name, ends in self._intervals.items()}
                content["few_positives"] = self._few_positives
            if stage == "test" and self._bounded:
                content["bounded"] = self._bounded
            write_atomically(path, json.dumps(content, indent=1) + "\n")
            self._paths["results"] = path

    def _print(self, trainer: Trainer) -> None:
        if not trainer.is_global_zero:
            return
        data = trainer.datamodule  # type: ignore[attr-defined]  # set by Trainer.fit
        model = cast(MultiLabelModel, trainer.lightning_module)
        bootstrap = ["95 %: over the texts of the test, for this one seed"] if self._intervals else []
        if self._intervals and self._few_positives:
            found = enumerated([f"{name} {count}" for name, count in self._few_positives.items()])
            bootstrap.append(f"fewer than {FEW_POSITIVES} positives, macro-averages are wide: {found}")
        if "test" in self._values and self._bounded:
            bootstrap.append(self._bounded)
        table = Table(
            "metric",
            title=f"{type(model).__name__} on {type(data).__name__}",
            caption=Text(visible("; ".join([f"tuned: {_rule(trainer)}", *_inferences(model), *bootstrap]))),
        )
        kinds = (("", "at 0.5"), ("tuned_", "tuned"))
        columns = [(stage, prefix, f"{stage} {title}") for stage in self._values for prefix, title in kinds]
        if "test" in self._values:
            others = model.inferences[1:]
            columns += [
                ("test", f"{name}_{prefix}", f"test {name} {title}") for name in others for prefix, title in kinds
            ]
        for *_, title in columns:
            table.add_column(title, justify="right")
        for name in SHOWN:
            cells = [self._values[stage].get(prefix + name) for stage, prefix, _ in columns]
            table.add_row(name, *("" if cell is None else f"{cell:.4f}" for cell in cells))
            ends = [self._intervals.get(prefix + name) if stage == "test" else None for stage, prefix, _ in columns]
            if name in WITH_INTERVAL and any(ends):
                table.add_row("  95 %", *("" if end is None else f"[{end[0]:.3f}, {end[1]:.3f}]" for end in ends))
        Console().print(table)
        if optimism := _optimism(self._values.get("val", {})):
            parts = ", ".join(f"{name} {value:+.4f}" for name, value in optimism.items() if name in WITH_INTERVAL)
            Console().print(f"optimism of the thresholds on val (tuned minus cross-fitted): {parts}", soft_wrap=True)
        if self._rules.scores:
            Console().print(self._rules.table())
        for line in _warnings(trainer):
            Console().print(visible(f"warning: {line}"), soft_wrap=True, highlight=False, markup=False)
        if trainer.ckpt_path:
            self._paths["checkpoint"] = Path(trainer.ckpt_path)
        self._print_paths(trainer)

    def _print_paths(self, trainer: Trainer) -> None:
        lines = {name: str(_relative(path)) for name, path in sorted(self._paths.items())}
        if isinstance(trainer.logger, TensorBoardLogger):
            lines["watch"] = f"tensorboard --logdir {_relative(Path(trainer.logger.save_dir))}"
        reads_texts = trainer.datamodule.corpus("val").texts is not None  # type: ignore[attr-defined]  # every mlemo datamodule has it
        if "checkpoint" in lines and reads_texts:
            lines["classify"] = f'{_program()} classify --ckpt {lines["checkpoint"]} "your own sentence"'
        for name, line in lines.items():
            Console().print(visible(f"{name + ':':<13}{line}"), soft_wrap=True, highlight=False, markup=False)


def _per_class(trainer: Trainer, outputs: Outputs, tuning: ThresholdTuning | None) -> pd.DataFrame:
    train = trainer.datamodule.corpus("train")  # type: ignore[attr-defined]  # every mlemo datamodule has it
    table: dict[str, Any] = {"label": train.label_space.names, "training_positives": train.labels.sum(0).int().tolist()}
    decided = {"": outputs.probabilities >= 0.5}
    if tuning is not None:
        decided["tuned_"] = tuning.decide(outputs.probabilities)
    for prefix, decisions in decided.items():
        metrics = MultiLabelMetrics(train.label_space, sync_on_compute=False)
        metrics.update(outputs.probabilities, outputs.targets, decisions=decisions, mask=outputs.mask)
        values = metrics.per_class(of_decisions=bool(prefix))
        table |= {name: values[name].tolist() for name in ("support", "ap") if name in values and name not in table}
        table |= {prefix + name: values[name].tolist() for name in ("precision", "recall", "f1")}
    errors = expected_calibration_error(outputs.probabilities, outputs.targets, outputs.mask)
    return pd.DataFrame(table | {"calibration_error": errors.tolist()})


def _optimism(values: dict[str, float]) -> dict[str, float]:
    """What fitting the thresholds on the rows that are scored adds to each score of decisions."""
    names = [name for name in SHOWN if f"cross_fitted_{name}" in values and f"tuned_{name}" in values]
    return {name: values[f"tuned_{name}"] - values[f"cross_fitted_{name}"] for name in names}


def _rule(trainer: Trainer) -> str:
    tuning = tuned_rule(trainer)
    return "threshold 0.5" if tuning is None else tuning.rule.describe()


def _inferences(model: MultiLabelModel) -> list[str]:
    """A note for a model that predicts in several ways: which one each score belongs to."""
    first, *others = model.inferences
    if not others:
        return []
    return [f"inference: {first}, beside it {', '.join(others)}, each with thresholds fitted under it; "
            f"predict and classify use {model.prediction_inference}"]  # fmt: skip


def _warnings(trainer: Trainer) -> list[str]:
    """What makes the scores doubtful, one line each."""
    data, tuning = trainer.datamodule, tuned_rule(trainer)  # type: ignore[attr-defined]  # every mlemo run has one
    folds = 0 if tuning is None else tuning.rule.folds
    return [*data.warnings(), *fold_warnings(len(data.corpus("val")), len(data.label_space), folds)]


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


def _program() -> str:
    """How this environment's `mlemo` is called from where the user stands: by name only if that name finds it."""
    python, found = Path(sys.executable), shutil.which("mlemo")
    if found is not None and Path(found).parent == python.parent:
        return "mlemo"
    return f"{python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python} -m mlemo"


def _relative(path: Path) -> Path:
    try:
        return path.resolve().relative_to(Path.cwd())
    except ValueError:
        return path
