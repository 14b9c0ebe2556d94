import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from mlemo.samplers import (
    instance_weights,
    irlbl,
    local_imbalance,
    mean_ir,
    minority_labels,
    nearest_neighbours,
)

# four samples on a line, two labels; with k = 2 the neighbours are 0: {1, 2}, 1: {0, 2}, 2: {1, 3}, 3: {1, 2}
LINE = torch.tensor([[0.0], [1.0], [3.0], [4.5]])
LABELS = torch.tensor([[1, 1], [1, 1], [1, 0], [0, 0]])


def random_problem(seed: int, n: int = 60, dimensions: int = 3, labels: int = 6) -> tuple[Tensor, Tensor]:
    """Real features, and labels from frequent to rare that stand together in space, but for some."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, dimensions, generator=generator)
    scores = features @ torch.randn(dimensions, labels, generator=generator) + torch.randn(
        n, labels, generator=generator
    )
    targets = scores > scores.quantile(torch.linspace(0.4, 0.9, labels), 0).diagonal()
    return features, targets.float()


def weights_by_loops(features: Tensor, labels: Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    """B and w, one entry at a time in float64."""
    n, q = labels.shape
    points, y = features.double().numpy(), labels.int().numpy()
    local = np.zeros((n, q))
    for i in range(n):
        distances = sorted((float(((points[i] - points[m]) ** 2).sum()), m) for m in range(n) if m != i)
        for j in range(q):
            if y[i, j] == 1:
                local[i, j] = sum(y[m, j] != y[i, j] for _, m in distances[:k]) / k
    counts = y.sum(0)
    ratios = [counts.max() / count for count in counts if count]
    mean = sum(ratios) / len(ratios)
    weights = np.ones(n)
    for j in range(q):
        if not counts[j] or counts.max() / counts[j] <= mean:
            continue
        total = sum(local[i, j] for i in range(n) if local[i, j] < 1)
        for i in range(n):
            if local[i, j] < 1 and total:
                weights[i] += local[i, j] / total
    return local, weights


def test_a_case_of_four_samples_and_two_labels_by_hand() -> None:
    assert irlbl(LABELS).tolist() == [1.0, 1.5]
    assert mean_ir(LABELS) == 1.25
    assert minority_labels(LABELS).tolist() == [False, True]
    expected = [[0.0, 0.5], [0.0, 0.5], [0.5, 0.0], [0.0, 0.0]]
    assert local_imbalance(LINE, LABELS, k=2).tolist() == expected
    # label 1 alone is a minority: S = 1/2, 1/2, 0, 0
    assert instance_weights(LINE, LABELS, k=2).tolist() == [1.5, 1.5, 1.0, 1.0]


def test_a_sample_whose_neighbours_all_lack_the_label_is_left_out() -> None:
    labels = torch.tensor([[1, 1], [1, 1], [1, 0], [1, 1]])
    assert local_imbalance(LINE, labels, k=2)[:, 1].tolist() == [0.5, 0.5, 0.0, 0.5]
    assert local_imbalance(LINE, labels, k=1)[:, 1].tolist() == [0.0, 0.0, 0.0, 1.0]
    assert instance_weights(LINE, labels, k=1).tolist() == [1.0] * 4, "B = 1 is noise, and 0/0 is 0"
    torch.testing.assert_close(instance_weights(LINE, labels, k=2), torch.tensor([4 / 3, 4 / 3, 1.0, 4 / 3]))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("k", [1, 3, 5])
def test_equals_the_formulas_by_loops(seed: int, k: int) -> None:
    features, labels = random_problem(seed)
    local, weights = weights_by_loops(features, labels, k)
    np.testing.assert_allclose(local_imbalance(features, labels, k), local, rtol=1e-6)
    np.testing.assert_allclose(instance_weights(features, labels, k), weights, rtol=1e-6)
    assert (weights.max() > 1.05) == (k > 1), "the problem says nothing about the weights"


def test_an_absent_label_changes_nothing() -> None:
    features, labels = random_problem(0)
    wider = torch.cat([labels, torch.zeros(len(labels), 2)], 1)
    assert irlbl(wider)[-2:].tolist() == [math.inf, math.inf]
    assert mean_ir(wider) == mean_ir(labels)
    assert minority_labels(wider).tolist() == [*minority_labels(labels).tolist(), False, False]
    assert minority_labels(labels).any()
    assert not local_imbalance(features, wider)[:, -2:].any()
    assert torch.equal(instance_weights(features, wider), instance_weights(features, labels))


def test_equally_frequent_labels_are_no_minorities() -> None:
    labels = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]])
    assert mean_ir(labels) == 1.0
    assert not minority_labels(labels).any()
    assert instance_weights(LINE, labels, k=2).tolist() == [1.0] * 4


def test_neighbours_equal_those_of_scikit_learn_over_several_chunks() -> None:
    features = torch.randn(9000, 4, generator=torch.Generator().manual_seed(3))
    rows = torch.arange(0, 9000, 30)
    tree = NearestNeighbors(n_neighbors=6, algorithm="kd_tree").fit(features.double().numpy())
    found = tree.kneighbors(features[rows].double().numpy(), return_distance=False)
    assert (found[:, 0] == rows.numpy()).all(), "no twins here: each row is nearest to itself"
    assert nearest_neighbours(features, 5, rows).tolist() == np.sort(found[:, 1:], 1).tolist()


def test_a_twin_is_a_neighbour_and_oneself_is_not() -> None:
    features = torch.tensor([[1.0, 2.0]] * 4 + [[3.0, 1.0]] * 3)
    assert nearest_neighbours(features, 2).tolist() == [[1, 2], [0, 2], [0, 1], [0, 1], [5, 6], [4, 6], [4, 5]]


def test_of_equally_distant_rows_the_first_ones_count() -> None:
    generator = torch.Generator().manual_seed(0)
    features = (torch.rand(300, 8, generator=generator) < 0.5).float()
    distances = torch.cdist(features.double(), features.double()).square().round()
    distances.fill_diagonal_(torch.inf)
    expected = distances.argsort(dim=1, stable=True)[:, :5].sort(1).values
    assert torch.equal(nearest_neighbours(features, 5), expected)
    assert (distances.sort(1).values.diff() == 0)[:, 4].float().mean() > 0.5, "there are hardly any ties"


def test_the_order_of_the_rows_asked_for_is_kept() -> None:
    features, _ = random_problem(1)
    rows = torch.tensor([7, 3, 50])
    assert torch.equal(nearest_neighbours(features, 4, rows), nearest_neighbours(features, 4)[rows])
    assert nearest_neighbours(features, 4, rows[:0]).shape == (0, 4)


def test_what_cannot_be_measured_is_refused() -> None:
    features, labels = random_problem(0)
    with pytest.raises(ValueError, match="no label occurs in 3 rows"):
        irlbl(torch.zeros(3, 2))
    with pytest.raises(ValueError, match=r"shape \(n, C\), found \(3,\)"):
        irlbl(torch.zeros(3))
    with pytest.raises(ValueError, match="found k=5 for 5 rows"):
        nearest_neighbours(features[:5], 5)
    with pytest.raises(ValueError, match="finite"):
        nearest_neighbours(features.where(features < 1, torch.nan))
    with pytest.raises(ValueError, match=r"labels have shape \(59, 6\), expected \(60, C\)"):
        local_imbalance(features, labels[:-1])
