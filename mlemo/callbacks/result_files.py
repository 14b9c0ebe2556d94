"""The files of a scored split, from its outputs and a fitted decision rule, without a trainer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from mlemo.callbacks.result_table import Intervals, optimism_of
from mlemo.metrics import bootstrap_intervals
from mlemo.metrics.calibration import expected_calibration_error
from mlemo.metrics.intervals import BUDGET, resamples_within_budget, with_few_positives
from mlemo.metrics.outputs import Outputs
from mlemo.metrics.weighted import DECISION_METRICS
from mlemo.models.evaluation import Stage
from mlemo.runs.atomic import write_atomically
from mlemo.runs.files import PER_CLASS, RESULTS, THRESHOLDS
from mlemo.thresholds import ThresholdRule

__all__ = ["intervals_of_test", "write_per_class", "write_results", "write_thresholds"]


def write_results(
    folder: Path,
    stage: Stage,
    values: Mapping[str, float],
    *,
    rule: str,
    intervals: Intervals,
    warnings: Sequence[str] = (),
    **more: Any,
) -> Path:
    """Write ``results_<stage>.json``.

    Args:
        folder: Folder of the run.
        stage: What was scored.
        values: Scores by name.
        rule: Description of the decision rule.
        intervals: Those of the test, which no other stage has.
        warnings: What makes the scores doubtful, one line each.
        more: Further entries.

    Returns:
        The file.
    """
    content: dict[str, Any] = {"rule": rule, **values}
    if warnings:
        content["warnings"] = list(warnings)
    content |= more
    if stage == "val":
        content["optimism"] = optimism_of(values)
    if stage == "test" and intervals.ends:
        content["intervals"] = {name: list(ends) for name, ends in intervals.ends.items()}
        content["few_positives"] = dict(intervals.few_positives)
    if stage == "test" and intervals.bounded:
        content["bounded"] = intervals.bounded
    path = RESULTS.path(folder, stage)
    write_atomically(path, json.dumps(content, indent=1) + "\n")
    return path


def intervals_of_test(outputs: Outputs, rule: ThresholdRule | None, names: Sequence[str], resamples: int) -> Intervals:
    """Compute 95 % intervals of all metrics over the texts, and as ``tuned_…`` of those of decisions under a rule.

    Args:
        outputs: Of the test.
        rule: The fitted rule, if there is one.
        names: Label names.
        resamples: Resamples of each interval; 0 for none. Fewer, or none, where texts and labels are many
            (:func:`mlemo.metrics.intervals.resamples_within_budget`), which ``bounded`` of the result states.
    """
    if not resamples or not outputs.mask.any():
        return Intervals()
    shape, bounded = outputs.probabilities.shape, None
    drawn = resamples_within_budget(resamples, *shape)
    if drawn < resamples:
        what = f"{drawn:,} resamples for the 95 % intervals" if drawn else "no 95 % intervals"
        bounded = (
            f"{what}: {resamples:,} resamples of {shape[0]:,} texts × {shape[1]:,} labels are above the "
            f"{BUDGET:,} entries that a run may take for them; `mlemo compare RUN --resamples R` draws any number"
        )
    if not drawn:
        return Intervals(bounded=bounded)
    settings: dict[str, Any] = {"mask": outputs.mask, "resamples": drawn}
    found = bootstrap_intervals(outputs.probabilities, outputs.targets, **settings)
    del found["skipped_classes"]
    if rule is not None:
        decisions = outputs.decided(rule).decisions
        tuned = bootstrap_intervals(
            outputs.probabilities, outputs.targets, decisions, metrics=DECISION_METRICS, **settings
        )
        found |= {f"tuned_{name}": interval for name, interval in tuned.items()}
    ends = {name: (low, high) for name, (low, _, high) in found.items()}
    return Intervals(ends, with_few_positives(outputs.targets, outputs.mask, names), bounded)


def write_per_class(
    folder: Path,
    stage: Stage,
    outputs: Outputs,
    *,
    rule: ThresholdRule | None,
    names: Sequence[str],
    training_positives: Tensor,
) -> Path:
    """Write ``per_class_<stage>.csv``.

    Args:
        folder: Folder of the run.
        stage: What was scored.
        outputs: Of the stage.
        rule: The fitted rule, if there is one.
        names: Label names.
        training_positives: ``(C,)``, positives of each label in training.

    Returns:
        The file.
    """
    table: dict[str, Any] = {"label": names, "training_positives": training_positives.int().tolist()}
    half = outputs.decided().label_values
    table |= {"support": half["support"].tolist(), "ap": outputs.label_average_precision.tolist()}
    decided = {"": half} if rule is None else {"": half, "tuned_": outputs.decided(rule).label_values}
    for prefix, values in decided.items():
        table |= {prefix + name: values[name].tolist() for name in ("precision", "recall", "f1")}
    errors = expected_calibration_error(outputs.probabilities, outputs.targets, outputs.mask)
    path = PER_CLASS.path(folder, stage)
    write_atomically(path, pd.DataFrame(table | {"calibration_error": errors.tolist()}).to_csv(index=False))
    return path


def write_thresholds(
    folder: Path, rule: ThresholdRule, names: Sequence[str], others: Mapping[str, ThresholdRule] | None = None
) -> Path:
    """Write ``thresholds.json``.

    Args:
        folder: Folder of the run.
        rule: The fitted rule.
        names: Label names.
        others: Rules of further inference modes, by name.

    Returns:
        The file.
    """
    content = _described(rule, names)
    if others:
        content["other_inferences"] = {key: _described(other, names) for key, other in others.items()}
    path = THRESHOLDS.path(folder)
    write_atomically(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return path


def _described(rule: ThresholdRule, names: Sequence[str]) -> dict[str, Any]:
    content: dict[str, Any] = {"rule": rule.describe()}
    cuts = rule.thresholds()
    if cuts is not None:
        content["thresholds"] = dict(zip(names, cuts.expand(len(names)).tolist()))
    elif rule.state_dict():
        content["state"] = rule.state_dict()
    return content
