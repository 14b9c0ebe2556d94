import itertools

import pytest
import torch

from mlemo.data.splits import random_split, stratified_split

FRACTIONS = (0.8, 0.1, 0.1)


def corpus(rows=400, seed=0):
    """Label sets with rates from 2 % to 50 % and many empty ones."""
    draw = torch.Generator().manual_seed(seed)
    rates = torch.tensor([0.5, 0.2, 0.1, 0.05, 0.02])
    return (torch.rand(rows, 5, generator=draw) < rates).float()


def assert_partition(parts, rows):
    assert sorted(itertools.chain(*parts)) == list(range(rows))
    assert all(part == sorted(part) for part in parts)


def test_random_split_is_a_seeded_partition_of_the_sizes_asked_for():
    parts = random_split(1000, (0.7, 0.15, 0.15), seed=42)
    assert_partition(parts, 1000)
    assert [len(part) for part in parts] == [700, 150, 150]
    assert parts == random_split(1000, (0.7, 0.15, 0.15), seed=42)
    assert parts != random_split(1000, (0.7, 0.15, 0.15), seed=43)
    assert sum(parts[0]) != sum(range(700))  # shuffled, not cut as they come


def test_random_split_meets_odd_sizes_to_one_row():
    for rows in range(10, 40):
        parts = random_split(rows, FRACTIONS, seed=rows)
        assert_partition(parts, rows)
        assert all(abs(len(part) - rows * fraction) < 1 for part, fraction in zip(parts, FRACTIONS))


def test_stratified_split_is_a_seeded_partition():
    labels = corpus()
    parts = stratified_split(labels, FRACTIONS, seed=1)
    assert_partition(parts, 400)
    assert [len(part) for part in parts] == pytest.approx([320, 40, 40], abs=3)
    assert parts == stratified_split(labels, FRACTIONS, seed=1)
    assert parts != stratified_split(labels, FRACTIONS, seed=2)


def test_stratified_split_does_not_touch_global_random_state():
    import numpy as np

    torch.manual_seed(3), np.random.seed(3)  # noqa: NPY002  # the legacy state is what must stay untouched
    expected = torch.rand(1), np.random.rand()  # noqa: NPY002
    torch.manual_seed(3), np.random.seed(3)  # noqa: NPY002
    stratified_split(corpus(60), FRACTIONS, seed=1)
    random_split(60, FRACTIONS, seed=1)
    assert torch.rand(1) == expected[0]
    assert np.random.rand() == expected[1]  # noqa: NPY002


def test_every_label_and_the_empty_set_is_as_frequent_in_each_part():
    labels = corpus()
    targets = torch.cat([labels, (labels.sum(1, keepdim=True) == 0).float()], 1)
    for seed in range(3):
        for part, fraction in zip(stratified_split(labels, FRACTIONS, seed), FRACTIONS):
            difference = targets[part].sum(0) - fraction * targets.sum(0)
            assert difference.abs().max() <= 2.5, (seed, difference)


def test_random_split_does_not_pass_that_bar():  # else the test above would show nothing
    labels = corpus()
    worst = max(
        (labels[part].sum(0) - fraction * labels.sum(0)).abs().max()
        for seed in range(10)
        for part, fraction in zip(random_split(400, FRACTIONS, seed), FRACTIONS)
    )
    assert worst > 4


def test_equal_keys_stay_together_and_count_with_the_union_of_their_labels():
    labels = corpus(300)
    keys = [f"text {row % 120}" for row in range(300)]  # two or three rows a key
    parts = stratified_split(labels, FRACTIONS, seed=0, groups=keys)
    assert_partition(parts, 300)
    sides = [{keys[row] for row in part} for part in parts]
    assert sum(map(len, sides)) == 120  # no key on two sides
    alone = torch.stack([labels[key::120].amax(0) for key in range(120)])
    by_hand = stratified_split(alone, FRACTIONS, seed=0)
    assert sides == [{f"text {key}" for key in part} for part in by_hand]


@pytest.mark.parametrize("labels", [torch.zeros(30, 3), torch.ones(30, 3), torch.ones(30, 1), torch.zeros(30, 1)])
def test_constant_labels_and_a_single_label(labels):
    parts = stratified_split(labels, FRACTIONS, seed=0)
    assert_partition(parts, 30)
    assert [len(part) for part in parts] == [24, 3, 3]


def test_two_and_four_parts():
    labels = corpus(200)
    for fractions in [(0.5, 0.5), (0.4, 0.3, 0.2, 0.1)]:
        parts = stratified_split(labels, fractions, seed=0)
        assert_partition(parts, 200)
        assert [len(part) for part in parts] == pytest.approx([200 * fraction for fraction in fractions], abs=4)


@pytest.mark.parametrize("fractions", [(0.8, 0.1), (0.9, 0.2, -0.1), (1.0, 0.0), ()])
def test_fractions_must_be_positive_and_sum_to_one(fractions):
    for split in (lambda: random_split(20, fractions, 0), lambda: stratified_split(corpus(20), fractions, 0)):
        with pytest.raises(ValueError, match=r"split fractions must be positive and sum to 1, found \("):
            split()


def test_too_few_rows():
    with pytest.raises(ValueError, match="2 different rows are too few for 3 parts"):
        random_split(2, FRACTIONS, 0)
    with pytest.raises(ValueError, match="2 different rows are too few for 3 parts"):
        stratified_split(torch.ones(9, 2), FRACTIONS, 0, groups=["a", "b"] * 4 + ["a"])
    with pytest.raises(ValueError, match=r"3 different rows are too few for the fractions \(0.8, 0.1, 0.1\): sizes"):
        random_split(3, FRACTIONS, 0)


def test_groups_of_another_length():
    with pytest.raises(ValueError, match="3 groups for 9 rows"):
        stratified_split(torch.ones(9, 2), FRACTIONS, 0, groups=["a", "b", "c"])
