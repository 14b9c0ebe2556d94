"""Comparison of runs from their saved predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlemo.metrics.compare import holm, mean_and_sd, paired_bootstrap, randomization_p
from mlemo.metrics.estimate import estimate
from mlemo.metrics.intervals import FEW_POSITIVES, bootstrap_values, with_few_positives
from mlemo.metrics.weighted import WeightedMetrics
from mlemo.runs.files import PREDICTIONS
from mlemo.runs.manifest import is_tested
from mlemo.runs.predictions import Predictions, check_same_samples
from mlemo.utils.messages import enumerated

__all__ = ["Row", "compare_runs", "notes_of"]


@dataclass(frozen=True)
class Row:
    """A row of the table: one metric of one system; ``None`` for values without a comparison.

    Args:
        metric: Name of the metric.
        system: Name of the system.
        runs: Number of its runs.
        value: The metric, the mean over the runs.
        low: Lower end of its interval.
        high: Upper end of its interval.
        sd: Standard deviation over the runs.
        difference: Value minus that of the baseline.
        difference_low: Lower end of the paired interval of the difference.
        difference_high: Upper end of the interval.
        p: Two-sided p-value.
        p_holm: P-value corrected for the comparisons of this metric.
    """

    metric: str
    system: str
    runs: int
    value: float
    low: float
    high: float
    sd: float | None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    p: float | None = None
    p_holm: float | None = None


def compare_runs(
    systems: dict[str, list[Predictions]],
    metrics: Sequence[str] = ("jaccard", "micro_f1", "macro_f1"),
    *,
    baseline: str | None = None,
    threshold: float | None = None,
    method: str = "bootstrap",
    resamples: int = 5000,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[Row]:
    """Compute metrics of systems with intervals, and compare each system with a baseline on the same samples.

    Args:
        systems: Runs (seeds) of each system, by name.
        metrics: Names of the collection.
        baseline: Name of the system that the others are compared with; the first if left out.
        threshold: One threshold for all probabilities, instead of the labels decided by each run.
        method: ``bootstrap`` or ``randomization``, as for :func:`mlemo.metrics.compare`; the latter for single runs.
        resamples: Number of resamples.
        confidence: Confidence level of the interval.
        seed: Seed of the draws.

    Returns:
        One row per metric and system.

    Raises:
        ValueError: Labels, samples or gold labels of runs differ, the baseline or a metric is unknown, or settings are
            out of range.
    """
    baseline = next(iter(systems)) if baseline is None else baseline
    if baseline not in systems:
        raise ValueError(f"unknown baseline {baseline!r}; the systems are {', '.join(systems)}")
    if threshold is not None and not 0 <= threshold <= 1:
        raise ValueError(f"threshold must lie in [0, 1], found {threshold}")
    several = [name for name, runs in systems.items() if len(runs) > 1]
    if method == "randomization" and several:
        raise ValueError(f"randomization compares single runs, but {several[0]} has several; use the bootstrap")
    first = systems[baseline][0]
    for runs in systems.values():
        for run in runs:
            check_same_samples(first, run)

    some = first.mask.any(1)
    if not some.any():
        raise ValueError(f"{first.path} has no annotated entry")
    gold, mask = first.gold[some], first.mask[some]

    def outputs(run: Predictions) -> tuple[Tensor, Tensor]:
        decided = run.decided if threshold is None else run.probabilities >= threshold
        return decided[some], run.probabilities[some]

    values = {}  # (metrics, runs, 1 + resamples)
    for name, runs in systems.items():
        evaluates = [WeightedMetrics(metrics, gold, mask, *outputs(run)) for run in runs]
        values[name] = np.stack([bootstrap_values(e, gold.shape, resamples, seed) for e in evaluates], axis=1)
    p_values = {}
    if method == "randomization":
        for name in systems.keys() - {baseline}:
            both = [torch.cat(pair) for pair in zip(outputs(systems[name][0]), outputs(first))]
            stacked = WeightedMetrics(metrics, gold.repeat(2, 1), mask.repeat(2, 1), *both)
            p_values[name] = randomization_p(stacked, gold.shape, resamples, seed)

    rows = []
    for index, metric in enumerate(metrics):
        own = {name: values[name][index] for name in systems}  # (runs, 1 + resamples)
        others = [name for name in systems if name != baseline]
        tests = {name: paired_bootstrap(own[name], own[baseline], confidence) for name in others}
        p = [tests[name].p if method == "bootstrap" else p_values[name][index] for name in others]
        corrected = dict(zip(others, zip(map(float, p), holm(p))))
        for name, runs in systems.items():
            low, value, high = estimate(own[name]).interval(confidence)
            sd = mean_and_sd(own[name][:, 0].tolist())[1] if len(runs) > 1 else None
            tested = () if name == baseline else (*astuple(tests[name])[:3], *corrected[name])
            rows.append(Row(metric, name, len(runs), value, low, high, sd, *tested))
    return rows


def notes_of(systems: dict[str, list[Predictions]], settings: dict[str, Any]) -> list[str]:
    """Describe how a comparison was made, for below its table.

    Args:
        systems: Runs of each system, by name.
        settings: Settings of `compare_runs`.
    """
    first = next(iter(systems.values()))[0]
    samples, single = int(first.mask.any(1).sum()), [name for name, runs in systems.items() if len(runs) == 1]
    notes = [f"{settings['confidence'] * 100:g} % intervals: {settings['resamples']} resamples of {samples} samples"]
    if len(single) < len(systems):
        notes[0] += ", and the variance between the runs of a system (Student's t)"
    if single:
        notes.append(f"one run each, without the variance between seeds: {', '.join(single)}")
    if len(systems) > 1:
        p = "paired bootstrap" if settings["method"] == "bootstrap" else "approximate randomization"
        notes.append(f"diff: from {settings['baseline']}; p: two-sided, {p}; Holm: over the comparisons of a metric")
    if rare := with_few_positives(first.gold, first.mask, first.label_space.names):
        found = enumerated([f"{name} ({count})" for name, count in rare.items()])
        notes.append(
            f"labels with fewer than {FEW_POSITIVES} positives, which make means over labels uncertain: {found}"
        )
    for run in chain.from_iterable(systems.values()):
        if run.path.name == PREDICTIONS.path("", "test").name and not is_tested(run.path.parent):
            notes.append(f"{run.path}: the run was trained further since, so these are not of its present checkpoint")
    if settings["threshold"] is not None:
        return [*notes, f"decided at {settings['threshold']:g}"]
    rules = {name: sorted({run.rule or "its own rule" for run in runs}) for name, runs in systems.items()}
    return notes + [f"{name}: decided by {' / '.join(rule)}" for name, rule in rules.items()]
