"""Wilcoxon's signed-rank test of a label against another over all combinations of the other settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from mlemo.experiments.study import RULE_SETTING, Labels
from mlemo.metrics.compare import SignedRanks, holm, wilcoxon
from mlemo.reporting.results import Results, apart

__all__ = ["FEWEST_PAIRS", "Overall", "overall_tests", "published_means"]

#: Smallest number of pairs for which a Wilcoxon test can have a p-value below 0.05.
FEWEST_PAIRS = 6


@dataclass(frozen=True)
class Overall:
    """Comparison of a label of the compared setting with the first one over all combinations of the others.

    Args:
        label: The label.
        metric: Name among the study's metrics.
        difference: Mean of the differences.
        test: Wilcoxon's signed-rank test.
        p_holm: P-value corrected for the comparisons of this metric; within labels of a setting, for all of these.
        within: Setting and label to which the combinations are restricted; ``None`` for all of them.
    """

    label: str
    metric: str
    difference: float
    test: SignedRanks
    p_holm: float
    within: tuple[str, str] | None = None


def overall_tests(results: Results, first: str, means: Mapping[tuple[Labels, str], float]) -> Iterator[Overall]:
    """Test each label of the compared setting against the first, over combinations of the others.

    Args:
        results: The runs, with the settings and the compared setting of the study.
        first: Label that the others are compared with.
        means: One number per combination of labels and metric.
    """
    compare, others = results.study.compare, results.others
    # one run under several rules has several numbers, but forms one pair
    pooled = not results.study.rules or compare == RULE_SETTING
    within_settings = (others if len(others) > 1 else ()) if pooled else (RULE_SETTING,)
    for name in results.study.metrics if pooled else ():
        own = {place: value for (place, key), value in means.items() if key == name}
        found = list(_signed_ranks(compare, first, own))
        corrected = holm([test.p for _, _, test in found])
        yield from (Overall(label, name, mean, test, p) for (label, mean, test), p in zip(found, corrected))
    for setting in within_settings:
        cells = [
            (within, name, *cell)
            for within in dict.fromkeys(dict(place)[setting] for place, _ in means)
            for name in results.study.metrics
            for cell in _signed_ranks(
                compare,
                first,
                {place: value for (place, key), value in means.items() if key == name and (setting, within) in place},
            )
        ]
        corrected = holm([test.p for *_, test in cells])
        for (within, name, label, mean, test), p in zip(cells, corrected):
            yield Overall(label, name, mean, test, p, (setting, within))


def published_means(results: Results) -> dict[tuple[Labels, str], float]:
    """Collect the published numbers of whole combinations, by their labels and metric."""
    found: dict[tuple[Labels, str], float] = {}
    for row in results.study.published:
        labels = dict(row.labels)
        if not row.of_class and set(labels) == set(results.settings):
            place = tuple((setting, labels[setting]) for setting in results.settings)
            found |= {(place, name): value for name, value in row.values.items()}
    return found


def _signed_ranks(compare: str, first: str, means: Mapping[Labels, float]) -> Iterator[tuple[str, float, SignedRanks]]:
    """Yield label, mean difference and test of each label with enough pairs with the first."""
    by_label: dict[str, dict[Labels, float]] = {}
    for place, value in means.items():
        label, others = apart(place, compare)
        by_label.setdefault(label, {})[others] = value
    base = by_label.pop(first, {})
    for label, values in by_label.items():
        pairs = [(value, base[place]) for place, value in values.items() if place in base]
        if len(pairs) >= FEWEST_PAIRS:
            yield label, float(np.mean([a - b for a, b in pairs])), wilcoxon(*zip(*pairs))
