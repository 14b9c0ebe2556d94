"""Scores of the runs of a study: metrics with standard deviations and intervals, and differences between labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import isfinite, nan

import numpy as np

from mlemo.experiments.study import Labels
from mlemo.metrics.compare import Comparison, holm, mean_and_sd
from mlemo.metrics.intervals import FEWEST, resamples_within_budget
from mlemo.metrics.weighted import DECISION_METRICS, PROBABILITY_METRICS, WeightedMetrics
from mlemo.reporting.comparison import compare_runs
from mlemo.reporting.folds import compare_folds, t_interval
from mlemo.reporting.overall import Overall, overall_tests, published_means
from mlemo.reporting.results import Combination, Results, apart, own_metric
from mlemo.runs.predictions import Predictions, check_same_samples

__all__ = ["COLLECTION", "Difference", "Score", "Scores", "paired", "score"]

COLLECTION = DECISION_METRICS + PROBABILITY_METRICS
#: Largest difference between a record and its predictions due to single precision.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Score:
    """One metric of one combination of labels.

    Args:
        values: Value of each finished run, by seed or fold.
        mean: Mean of the values.
        sd: Standard deviation of the
            values; NaN for one run.
            low: Lower end of the interval; NaN without one.
            high: Upper end of the
            interval.
            over: Units of the interval: ``samples``, ``folds``, or empty.
    """

    values: Mapping[int, float]
    mean: float
    sd: float
    low: float = nan
    high: float = nan
    over: str = ""


@dataclass(frozen=True)
class Difference:
    """Difference of a metric between a combination and the one with the first label of the compared setting.

    Args:
        labels: Labels of the combination.
        metric: Name among the study's metrics.
        result: Difference, its interval and two-sided p-value.
        p_holm: The p-value corrected for the comparisons of this metric with the same other labels.
        over: Units that were paired: ``samples`` or ``folds``.
    """

    labels: Labels
    metric: str
    result: Comparison
    p_holm: float
    over: str


@dataclass
class Scores:
    """The scores of a study.

    Args:
        first: Label of the compared setting that the others are compared with: the first one with finished runs.
        resamples: Number of bootstrap resamples.
        bounded: Whether fewer are taken where these are too many entries.
        by: Scores by labels and metric; combinations without runs are missing.
        differences: Differences between combinations that share all labels but that one.
        overall: Differences over all combinations, and over those of each label of one of the other settings; if runs
            are scored under several decision rules, within each rule, since the rules share the runs.
        published: The same tests on the published numbers.
        problems: Scores that could not be computed, with the reason.
    """

    first: str
    resamples: int
    bounded: bool = False
    by: dict[tuple[Labels, str], Score] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    overall: list[Overall] = field(default_factory=list)
    published: list[Overall] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def score(results: Results, resamples: int = 5000, seed: int = 0, *, bounded: bool = False) -> Scores:
    """Score a study.

    If the runs of a combination have the same test samples, intervals and p-values are those of ``mlemo compare``: over
    the test samples and the seeds. If each seed has different test samples (folds), they are from Student's t over the
    folds, with differences paired by fold.

    Args:
        results: The runs.
        resamples: Number of bootstrap resamples.
        seed: Seed of the draws.
        bounded: Take fewer resamples where these are too many entries; see
            `mlemo.metrics.intervals.resamples_within_budget`.
    """
    scores = paired(results, results.labels_of(results.study.compare)[0], resamples, seed, bounded=bounded)
    means = {place: own.mean for place, own in scores.by.items() if isfinite(own.mean)}
    scores.overall = list(overall_tests(results, scores.first, means))
    scores.published = list(overall_tests(results, scores.first, published_means(results)))
    return scores


def paired(results: Results, first: str, resamples: int = 5000, seed: int = 0, *, bounded: bool = False) -> Scores:
    """Score a study without tests over its combinations.

    Args:
        results: The runs.
        first: Label of the compared setting that the others are compared with.
        resamples: Number of bootstrap resamples.
        seed: Seed of the draws.
        bounded: Take fewer resamples where these are too many entries.
    """
    compare, scores = results.study.compare, Scores(first, resamples, bounded)
    groups: dict[Labels, list[Combination]] = {}
    for combination in results.combinations:
        groups.setdefault(apart(combination.labels, compare)[1], []).append(combination)
    for group in groups.values():
        labeled = {apart(combination.labels, compare)[0]: combination for combination in group}
        # the baseline is the first system of a comparison
        ordered = {label: labeled[label] for label in sorted(labeled, key=lambda label: label != first)}
        _score_group(ordered, results.study.metrics, scores, seed)
    return scores


def _score_group(group: Mapping[str, Combination], metrics: Mapping[str, str], scores: Scores, seed: int) -> None:
    """Score combinations that differ in the compared setting only, by their labels of it."""
    wanted = _by_decision(metrics, ruled=any(combination.rule is not None for combination in group.values()))
    labels = {label: combination.labels for label, combination in group.items()}
    runs: dict[str, dict[int, Predictions]] = {}
    for label, combination in group.items():
        own, computed = _predictions(combination, wanted, scores)
        _add_values(combination, metrics, computed, scores)
        wrong = list(_contradictions(combination, metrics, computed))
        scores.problems.extend(wrong)
        if own and not wrong:
            runs[label] = own
    same = {label: list(own.values()) for label, own in runs.items()}
    same = {label: own for label, own in same.items() if all(_same_samples(own[0], run) for run in own)}
    base = {label: own for label, own in same.items() if label == scores.first}
    reference = base[scores.first][0] if base else None
    comparable = {label: own for label, own in same.items() if reference and _same_samples(reference, own[0])}
    resamples = _resamples(reference or next(iter(same.values()))[0], scores) if same else 0
    for systems in [comparable, *({label: own} for label, own in same.items() if label not in comparable)]:
        for decided, names in wanted.items() if systems else ():
            rows = compare_runs(
                systems, list(names.values()), threshold=None if decided else 0.5, resamples=resamples, seed=seed
            )
            for name, row in zip((name for name in names for _ in systems), rows):
                place = (labels[row.system], name)
                if place in scores.by:
                    scores.by[place] = replace(scores.by[place], low=row.low, high=row.high, over="samples")
                if row.difference is not None:
                    numbers = (row.difference, row.difference_low, row.difference_high, row.p, row.p_holm)
                    *result, p_holm = (nan if number is None else number for number in numbers)
                    scores.differences.append(Difference(*place, Comparison(*result), p_holm, "samples"))
    _score_folds({label: labels[label] for label in runs if label not in same}, runs, metrics, scores)


def _resamples(run: Predictions, scores: Scores) -> int:
    """Return the number of resamples for a test set, with a line in ``scores.problems`` if it is limited."""
    if not scores.bounded:
        return scores.resamples
    found = resamples_within_budget(scores.resamples, *run.probabilities.shape) or FEWEST
    if found < scores.resamples:
        rows, labels = run.probabilities.shape
        what = f"{rows:,} texts × {labels:,} labels: {found:,} resamples in place of {scores.resamples:,}"
        scores.problems.append(f"{what}; --resamples sets any number")
    return found


def _by_decision(metrics: Mapping[str, str], ruled: bool) -> dict[bool, dict[str, str]]:
    """Map the study's names to metrics of the collection: with decisions of a rule (True), or of a threshold of 0.5."""
    found: dict[bool, dict[str, str]] = {}
    for name, key in metrics.items():
        metric, tuned = own_metric(key)
        if metric in COLLECTION:
            found.setdefault(tuned or ruled, {})[name] = metric
    return found


def _predictions(
    combination: Combination, wanted: Mapping[bool, Mapping[str, str]], scores: Scores
) -> tuple[dict[int, Predictions], dict[int, dict[str, float]]]:
    """Return predictions of each run and their scores by the study's names; nothing if those of a run are missing."""
    computed: dict[int, dict[str, float]] = {}
    try:
        own = {run.seed: predictions for run, predictions in zip(combination.runs, combination.predictions())}
        for seed, run in own.items():
            some = run.mask.any(1)
            if not some.any():
                raise ValueError(f"{run.path} has no annotated entry")
            once = np.ones((1, int(some.sum())), dtype=np.int32)
            computed[seed] = {}
            for decided, names in wanted.items():
                decisions = run.decided if decided else run.probabilities >= 0.5
                parts = (run.gold[some], run.mask[some], decisions[some], run.probabilities[some])
                found = WeightedMetrics(list(names.values()), *parts)(once)[:, 0].tolist()
                computed[seed] |= dict(zip(names, found))
    except (FileNotFoundError, ValueError) as error:
        scores.problems.append(f"{combination.name}: no intervals and no tests: {error}")
        return {}, {}
    return own, computed


def _add_values(
    combination: Combination, metrics: Mapping[str, str], computed: Mapping[int, Mapping[str, float]], scores: Scores
) -> None:
    """Compute mean and standard deviation from the records, or from the predictions under a later rule."""
    for name, key in metrics.items():
        if combination.rule is not None and own_metric(key)[0] in COLLECTION:
            values = {seed: own[name] for seed, own in computed.items()}
        else:
            found = {run.seed: run.value(key) for run in combination.runs}
            values = {seed: value for seed, value in found.items() if value is not None}
            if lacking := [run.name for run in combination.runs if run.seed not in values]:
                scores.problems.append(f"{'; '.join(lacking)}: no {key}")
        if values:
            scores.by[combination.labels, name] = Score(values, *mean_and_sd(list(values.values())))


def _contradictions(
    combination: Combination, metrics: Mapping[str, str], computed: Mapping[int, Mapping[str, float]]
) -> Iterator[str]:
    """Yield discrepancies between the predictions of a run and its record."""
    for run in combination.runs if combination.rule is None else ():
        for name, value in computed.get(run.seed, {}).items():
            recorded = run.value(metrics[name])
            if recorded is not None and not np.isclose(recorded, value, rtol=0, atol=TOLERANCE, equal_nan=True):
                found = f"{metrics[name]} is {recorded:.4f} in its record but {value:.4f} from its predictions"
                yield f"{run.name}: no intervals and no tests: {found}"
                break


def _same_samples(first: Predictions, other: Predictions) -> bool:
    try:
        check_same_samples(first, other)
    except ValueError:
        return False
    return True


def _score_folds(
    folds: Mapping[str, Labels],
    runs: Mapping[str, Mapping[int, Predictions]],
    metrics: Mapping[str, str],
    scores: Scores,
) -> None:
    """Compute intervals over folds, and differences from the first label paired by fold."""
    for place in ((labels, name) for labels in folds.values() for name in metrics):
        if place in scores.by:
            low, high = t_interval(list(scores.by[place].values.values()))
            scores.by[place] = replace(scores.by[place], low=low, high=high, over="folds")
    if scores.first not in folds:
        return
    base = runs[scores.first]
    fair = [  # a common fold has the same samples
        label
        for label in folds
        if label != scores.first and all(_same_samples(run, runs[label].get(fold, run)) for fold, run in base.items())
    ]
    for name in metrics:
        found = {}
        for label in fair:
            own, first = scores.by.get((folds[label], name)), scores.by.get((folds[scores.first], name))
            result = None if own is None or first is None else compare_folds(own.values, first.values)
            if result is not None:
                found[label] = result
        for (label, result), p_holm in zip(found.items(), holm([result.p for result in found.values()])):
            scores.differences.append(Difference(folds[label], name, result, p_holm, "folds"))
