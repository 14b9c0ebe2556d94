"""A few training rows per label: enough of each, nested, seeded."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from mlemo.data.few_rows import few_rows

Maker = Callable[..., Any]


def grid() -> Tensor:
    """Six labels, from frequent to three rows in all, and rows without a label."""
    shares = torch.tensor([0.4, 0.3, 0.2, 0.1, 0.05, 0.0])
    labels = (torch.rand(300, 6, generator=torch.Generator().manual_seed(0)) < shares).float()
    labels[[5, 50, 150], 5] = 1
    return labels


@pytest.mark.parametrize("count", [1, 4, 8])
def test_every_label_and_the_empty_set_have_enough_rows_or_all(count: int) -> None:
    labels = grid()
    sets = torch.cat([labels, (labels.sum(1, keepdim=True) == 0).float()], 1)
    rows = few_rows(labels, count, seed=0)
    assert rows == sorted(set(rows))
    assert (sets[rows].sum(0) >= sets.sum(0).clamp(max=count)).all()
    assert len(rows) <= 7 * count


def test_no_row_is_taken_for_a_label_that_has_enough() -> None:
    labels = torch.eye(4).repeat(20, 1)
    assert labels[few_rows(labels, 5, seed=0)].sum(0).tolist() == [5, 5, 5, 5]


def test_rows_are_nested_and_follow_the_seed() -> None:
    labels = grid()
    parts = [set(few_rows(labels, count, seed=3)) for count in (1, 2, 4, 8, 16)]
    assert all(small < large for small, large in pairwise(parts))
    assert few_rows(labels, 4, seed=3) == few_rows(labels, 4, seed=3)
    assert len({tuple(few_rows(labels, 4, seed=seed)) for seed in range(8)}) == 8


def test_all_rows_where_more_are_asked_for() -> None:
    assert few_rows(grid()[:20], 100, seed=0) == list(range(20))


def test_the_training_split_alone_is_reduced(data: Maker) -> None:
    whole, part = data().corpus("train"), data(rows_per_label=2).corpus("train")
    rows = [whole.ids.index(identifier) for identifier in part.ids]
    assert rows == few_rows(whole.labels, 2, data().seed)
    assert part.texts == [whole.texts[row] for row in rows]
    assert len(data(rows_per_label=2).corpus("val")) == len(data().corpus("val"))


def test_two_ways_to_reduce_are_refused(data: Maker) -> None:
    with pytest.raises(ValueError, match=r"set data.train_rows \(9\) or data.rows_per_label \(2\), not both"):
        data(train_rows=9, rows_per_label=2)
