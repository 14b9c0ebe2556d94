"""Intervals computed again from printed numbers against those of the runs themselves."""

import sys
from pathlib import Path

import numpy as np
import pytest

from mlemo.metrics.estimate import estimate_difference

sys.path.append(str(Path(__file__).parents[2] / "notebooks" / "reports"))

from former_intervals import Seeds, read_tables, renew, renewed

REPORT = r"""
**F1 (%), scale small**

| corpus | loss | seeds | ours | 95 % interval |
| :-- | :-- | --: | --: | --: |
| a\|b | BCE | 3 | 50.00 ± 1.00 | [47.50, 52.50] |
| a\|b | ASL | 3 | 53.00 ± 2.00 | [50.00, 56.00] |
| a\|b | one | 1 | 51.00 | [49.00, 53.00] |

**F1 (%): difference from loss BCE, scale small**

| corpus | loss | difference | 95 % interval | p | p Holm |
| :-- | :-- | --: | --: | --: | --: |
| a\|b | ASL | +3.00 | [+0.50, +5.50] | 0.0200 | 0.0400 |
| a\|b | one | +1.00 | [−1.00, +3.00] | 0.3000 | 0.3000 |
"""


def runs(values, moved):
    column = np.array(values)[:, None]
    return np.concatenate([column, column + moved], axis=1)


def test_renewed_intervals_are_near_those_of_the_runs():
    generator = np.random.default_rng(0)
    first, second = [0.50, 0.51, 0.52], [0.46, 0.50, 0.47]
    moved = generator.normal(0, 0.01, (2, 4000))
    found = estimate_difference(runs(first, moved[0]), runs(second, moved[1]))
    drawn = [np.array(own)[generator.integers(0, 3, (3, 4000))].mean(0) for own in (first, second)]
    former = np.quantile(drawn[0] - drawn[1] + moved[0] - moved[1], [0.025, 0.975])
    seeds = [Seeds(3, float(np.std(own, ddof=1))) for own in (first, second)]
    low, high, p = renewed(found.value, tuple(former), seeds)
    assert (low, high) == pytest.approx(found.interval(0.95)[::2], abs=0.004)
    assert p == pytest.approx(found.p(), abs=0.02)
    assert high - low > 1.1 * (former[1] - former[0])
    assert renewed(0.5, (0.4, 0.6), [Seeds(1, float("nan"))]) is None


def test_rows_of_several_seeds_are_renewed_and_holm_with_them():
    (values, own), (differences, found) = renew(list(read_tables(REPORT)), 2000)
    assert (values.text_columns, differences.text_columns) == (2, 2)
    assert own[0][0] == "a|b"
    assert own[2] == values.rows[2]
    low, high, _ = renewed(50, (47.5, 52.5), [Seeds(3, 1.0)])
    assert own[0][4] == f"[{low:.2f}, {high:.2f}]"
    p = [float(row[4]) for row in found]
    assert p[0] > 0.02
    assert [float(row[5]) for row in found] == pytest.approx([min(1, 2 * min(p)), max(p[1], 2 * min(p))], abs=1e-4)
