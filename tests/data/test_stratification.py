import re

import numpy as np
import pytest
import torch

from mlemo.data.stratification import stratified_folds


def labels(rows=500, seed=0):
    """Label sets with rates from 2 % to 50 % and many empty ones."""
    draw = torch.Generator().manual_seed(seed)
    return (torch.rand(rows, 5, generator=draw) < torch.tensor([0.5, 0.2, 0.1, 0.05, 0.02])).float()


def test_folds_are_a_seeded_partition():
    folds = stratified_folds(labels(), 5, seed=1)
    assert sorted(row for fold in folds for row in fold) == list(range(500))
    assert all(fold == sorted(fold) for fold in folds)
    assert folds == stratified_folds(labels(), 5, seed=1)
    assert folds != stratified_folds(labels(), 5, seed=2)


def test_every_label_and_the_empty_set_is_as_frequent_in_each_fold():
    on = labels()
    targets = torch.cat([on, (on.sum(1, keepdim=True) == 0).float()], 1)

    def worst(folds):
        return max((targets[fold].sum(0) - targets.sum(0) / 5).abs().max() for fold in folds)

    for seed in range(3):
        assert worst(stratified_folds(on, 5, seed)) <= 2.5
        shuffled = torch.randperm(500, generator=torch.Generator().manual_seed(seed))
        assert worst(shuffled.tensor_split(5)) > 2.5  # else the line above would show nothing


def test_rare_labels_are_spread_one_a_fold():
    on = torch.zeros(100, 2)
    on[:5, 0] = 1
    on[:, 1] = 1
    assert [on[fold, 0].sum() for fold in stratified_folds(on, 5, seed=0)] == [1] * 5


@pytest.mark.parametrize("on", [torch.zeros(30, 3), torch.ones(30, 3), torch.ones(30, 1), torch.zeros(30, 1)])
def test_constant_labels_and_a_single_label(on):
    assert [len(fold) for fold in stratified_folds(on, 3, seed=0)] == [10, 10, 10]


def test_global_random_state_is_left_alone():
    np.random.seed(3)  # noqa: NPY002  # the legacy state is what must stay untouched
    expected = np.random.rand()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    stratified_folds(labels(60), 5, seed=1)
    assert np.random.rand() == expected  # noqa: NPY002


@pytest.mark.parametrize("folds", [0, 1, 31])
def test_number_of_folds(folds):
    with pytest.raises(ValueError, match=re.escape(f"found {folds} folds for 30 rows, expected at least 2")):
        stratified_folds(torch.ones(30, 2), folds, seed=0)
