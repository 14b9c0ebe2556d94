"""The table of the metrics that a run ends with, and the paths of its files."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlemo.callbacks.threshold_tuning import tuned_rule
from mlemo.data import EmotionDataModule, TextFiles
from mlemo.data.checks import fold_warnings
from mlemo.metrics.intervals import FEW_POSITIVES
from mlemo.models import MultiLabelModel
from mlemo.utils.messages import enumerated, visible
from mlemo.utils.program import program

__all__ = [
    "Intervals",
    "described_rule",
    "doubts",
    "file_words",
    "inference_notes",
    "optimism_of",
    "print_paths",
    "print_results",
]

SHOWN = ("jaccard", "micro_f1", "macro_f1", "samples_f1", "micro_precision", "micro_recall", "hamming_loss", "macro_ap",
         "label_ranking_ap", "ranking_loss", "coverage_error", "loss")  # fmt: skip

WITH_INTERVAL = ("jaccard", "micro_f1", "macro_f1", "macro_ap")


@dataclass(frozen=True)
class Intervals:
    """95 % intervals of a test.

    Args:
        ends: Lower and upper end by metric.
        few_positives: Positives of the labels that have too few for a narrow interval.
        bounded: Why there are fewer resamples than requested, or none.
    """

    ends: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    few_positives: Mapping[str, int] = field(default_factory=dict)
    bounded: str | None = None


def print_results(
    title: str,
    notes: Sequence[str],
    scores: Mapping[str, Mapping[str, float]],
    intervals: Intervals,
    inferences: Sequence[str] = (),
) -> None:
    """Print the metrics of all stages side by side, at 0.5 and tuned, and the optimism of the thresholds.

    Args:
        title: What was scored.
        notes: Lines below the table, before those on the intervals.
        scores: Values by stage and metric.
        intervals: Of the test.
        inferences: Inference modes with columns of their own, for the test.
    """
    bootstrap = ["95 %: over the texts of the test, not over seeds"] if intervals.ends else []
    if intervals.ends and intervals.few_positives:
        found = enumerated([f"{name} {count}" for name, count in intervals.few_positives.items()])
        bootstrap.append(f"fewer than {FEW_POSITIVES} positives, macro-averages are wide: {found}")
    if "test" in scores and intervals.bounded:
        bootstrap.append(intervals.bounded)
    table = Table("metric", title=title, caption=Text(visible("; ".join([*notes, *bootstrap]))))
    kinds = (("", "at 0.5"), ("tuned_", "tuned"))
    columns = [(stage, prefix, f"{stage} {kind}") for stage in scores for prefix, kind in kinds]
    if "test" in scores:
        columns += [
            ("test", f"{name}_{prefix}", f"test {name} {kind}") for name in inferences for prefix, kind in kinds
        ]
    for *_, heading in columns:
        table.add_column(heading, justify="right")
    for name in SHOWN:
        cells = [scores[stage].get(prefix + name) for stage, prefix, _ in columns]
        if all(cell is None for cell in cells):
            continue
        table.add_row(name, *("" if cell is None else f"{cell:.4f}" for cell in cells))
        ends = [intervals.ends.get(prefix + name) if stage == "test" else None for stage, prefix, _ in columns]
        if name in WITH_INTERVAL and any(ends):
            table.add_row("  95 %", *("" if end is None else f"[{end[0]:.3f}, {end[1]:.3f}]" for end in ends))
    Console().print(table)
    if optimism := optimism_of(scores.get("val", {})):
        parts = ", ".join(f"{name} {value:+.4f}" for name, value in optimism.items() if name in WITH_INTERVAL)
        Console().print(f"optimism of the thresholds on val (tuned minus cross-fitted): {parts}", soft_wrap=True)


def print_paths(trainer: Trainer, paths: Mapping[str, Path]) -> None:
    """Print the paths of files, and the commands that read them."""
    lines = {name: str(_relative(path)) for name, path in sorted(paths.items())}
    if isinstance(trainer.logger, TensorBoardLogger):
        lines["watch"] = f"tensorboard --logdir {_relative(Path(trainer.logger.save_dir))}"
    data: EmotionDataModule = trainer.datamodule  # type: ignore[attr-defined]  # every mlemo run has one
    if "checkpoint" in lines and data.corpus("val").texts is not None:
        lines["classify"] = f'{program()} classify --ckpt {lines["checkpoint"]} "your own sentence"'
        lines["a file"] = f"{program()} classify --ckpt {lines['checkpoint']} {file_words(data)}"
        lines["export"] = f"{program()} export {_relative(paths['checkpoint'].parent.parent)} --output model"
    for name, line in lines.items():
        Console().print(visible(f"{name + ':':<13}{line}"), soft_wrap=True, highlight=False, markup=False)


def file_words(data: EmotionDataModule) -> str:
    """Arguments of ``mlemo classify`` for a file in the form of the training file."""
    words = ["--file", "new.csv"]
    if isinstance(data, TextFiles):
        suffix = Path(data.files["train"] or "").suffix
        words[1] = f"new{suffix if suffix in ('.tsv', '.jsonl', '.parquet') else '.csv'}"
        words += [word for name in data.text_columns for word in ("--text_column", name)]
        words += ["--delimiter", data.delimiter] if data.delimiter is not None else []
        words += ["--encoding", data.encoding] if data.encoding is not None else []
    return shlex.join([*words, "--output", f"labeled{Path(words[1]).suffix}"])


def optimism_of(values: Mapping[str, float]) -> dict[str, float]:
    """Compute what fitting the thresholds on the rows that are scored adds to each score of decisions."""
    names = [name for name in SHOWN if f"cross_fitted_{name}" in values and f"tuned_{name}" in values]
    return {name: values[f"tuned_{name}"] - values[f"cross_fitted_{name}"] for name in names}


def described_rule(trainer: Trainer) -> str:
    """Describe the decision rule of the tuned scores in one line."""
    tuning = tuned_rule(trainer)
    return "threshold 0.5" if tuning is None else tuning.rule.describe()


def inference_notes(model: MultiLabelModel) -> list[str]:
    """A note for a model that predicts in several ways: which one each score belongs to."""
    first, *others = model.inferences
    if not others:
        return []
    return [f"inference: {first}, beside it {', '.join(others)}, each with thresholds fitted under it; "
            f"predict and classify use {model.prediction_inference}"]  # fmt: skip


def doubts(trainer: Trainer) -> list[str]:
    """List what makes the scores doubtful, one line each."""
    data, tuning = trainer.datamodule, tuned_rule(trainer)  # type: ignore[attr-defined]  # every mlemo run has one
    folds = 0 if tuning is None else tuning.rule.folds
    return [*data.warnings(), *fold_warnings(len(data.corpus("val")), len(data.label_space), folds)]


def _relative(path: Path) -> Path:
    try:
        return path.resolve().relative_to(Path.cwd())
    except ValueError:
        return path
