"""Intervals of the difference between two settings for each class."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mlemo.metrics.compare import Comparison, paired_bootstrap
from mlemo.metrics.intervals import bootstrap_values, resamples_within_budget
from mlemo.metrics.pseudo_positives import Array, PseudoPositives
from mlemo.metrics.weighted import PROBABILITY_METRICS, WeightedMetrics
from mlemo.reporting.comparison import check_same_samples
from mlemo.reporting.results import TUNED, Combination
from mlemo.runs.predictions import Predictions

__all__ = ["class_differences"]

#: Column of the table of classes -> metric of the collection with that value where there is one label.
METRICS = {"f1": "macro_f1", "precision": "macro_precision", "recall": "macro_recall", "ap": "macro_ap"}
#: Largest number of resamples; the ends of an interval are the 25th of 1,000 values from either end.
MOST_RESAMPLES = 1000


def class_differences(
    combinations: Mapping[str, Combination], baseline: str, column: str, resamples: int, seed: int = 0
) -> dict[str, dict[str, Comparison]]:
    """Compare settings with a baseline class by class, over the test samples and the seeds as ``mlemo compare``.

    Args:
        combinations: Finished runs by label.
        baseline: The label that the others are compared with.
        column: Column of the table of classes, one of `METRICS`, with the prefix ``tuned_`` for the decisions of the
            rule of each run in place of a threshold of 0.5.
        resamples: Number of bootstrap resamples, of which at most `MOST_RESAMPLES` are drawn.
        seed: Seed of the draws.

    Returns:
        By label, then by class: the value minus that of the baseline, with its interval. Empty where the test set is
        too large to be resampled.

    Raises:
        KeyError: The column has no metric.
        FileNotFoundError: A run has no predictions.
        ValueError: The runs have different test samples (folds), or predictions cannot be read.
    """
    metric, tuned = METRICS[column.removeprefix(TUNED)], column.startswith(TUNED)
    runs = {label: own.predictions() for label, own in combinations.items()}
    first = runs[baseline][0]
    for run in (run for own in runs.values() for run in own):
        check_same_samples(first, run)
    draws = resamples_within_budget(min(resamples, MOST_RESAMPLES), *first.probabilities.shape)
    if not draws:
        return {}
    ruled = {label: tuned or own.rule is not None for label, own in combinations.items()}
    values = {
        label: np.stack([bootstrap_values(_EachClass(metric, run, ruled[label]), (len(run.gold), 1), draws, seed)
                         for run in own])
        for label, own in runs.items()
    }  # fmt: skip
    return {
        label: {
            name: paired_bootstrap(own[:, place], values[baseline][:, place])
            for place, name in enumerate(first.label_space.names)
        }
        for label, own in values.items()
        if label != baseline
    }


class _EachClass:
    """A metric of each class of a run: ``metric(counts (R, N)) -> (C, R)``.

    Classes have the same pseudo-positives, so that the interval of a class does not depend on the others.
    """

    def __init__(self, metric: str, run: Predictions, tuned: bool) -> None:
        decided = run.decided if tuned else run.probabilities >= 0.5
        parts = [run.gold, run.mask, decided, *([run.probabilities] if metric in PROBABILITY_METRICS else [])]
        self._classes = [
            WeightedMetrics([metric], *(part[:, [place]] for part in parts)) for place in range(run.gold.shape[1])
        ]

    def __call__(self, counts: Array, pseudo: PseudoPositives | None = None) -> Array:
        return np.concatenate([own(counts, pseudo) for own in self._classes])
