import math
from typing import get_args

import pytest
import torch
from torch import Tensor

from mlemo.nn.batch_graph import BatchGraph, Construction, between, label_entropy, label_jaccard, strongest

CONSTRUCTIONS = get_args(Construction)
ROWS, WIDTH, CLASSES = 9, 6, 4


@pytest.fixture
def embeddings() -> Tensor:
    return torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def labels() -> Tensor:
    return (torch.rand(ROWS, CLASSES, generator=torch.Generator().manual_seed(1)) < 0.4).float()


def cosine(a: Tensor, b: Tensor) -> float:
    dot = sum(x * y for x, y in zip(a.tolist(), b.tolist()))
    return dot / math.sqrt(sum(x * x for x in a.tolist()) * sum(y * y for y in b.tolist()))


def jaccard(a: Tensor, b: Tensor, known_a: Tensor | None = None, known_b: Tensor | None = None) -> float:
    both = [
        (x, y)
        for c, (x, y) in enumerate(zip(a.tolist(), b.tolist()))
        if (known_a is None or known_a[c]) and (known_b is None or known_b[c])
    ]
    union = sum(1 for x, y in both if x or y)
    return sum(1 for x, y in both if x and y) / union if union else 1.0


def linked(similarity: dict[tuple[int, int], float], threshold: float, neighbors: int) -> set[tuple[int, int]]:
    """Edges (j, i), by a loop over texts and their neighbours."""
    edges = set()
    for i in range(ROWS):
        near = [(similarity[i, j], j) for j in range(ROWS) if j != i and similarity[i, j] >= threshold - 1e-6]
        edges |= {(j, i) for _, j in sorted(near, reverse=True)[:neighbors]}
    return edges


def percentile(values: list[float], q: float) -> float:
    values = sorted(values)
    place = q / 100 * (len(values) - 1)
    low, high = math.floor(place), math.ceil(place)
    return values[low] + (place - low) * (values[high] - values[low])


PAIRS = [(i, j) for i in range(ROWS) for j in range(ROWS) if i != j]


@pytest.mark.parametrize("neighbors", [1, 3, 20])
@pytest.mark.parametrize("threshold", [None, 0.1])
@pytest.mark.parametrize("construction", ["mixed", "cosine", "knn"])
def test_edges_by_a_loop_over_pairs(
    construction: Construction, threshold: float | None, neighbors: int, embeddings: Tensor, labels: Tensor
) -> None:
    if construction == "knn" and threshold is not None:
        with pytest.raises(ValueError, match="a knn graph has no threshold"):
            BatchGraph(construction, threshold)
        return
    torch.manual_seed(3)
    module = BatchGraph(construction, threshold, 60, neighbors)
    graph = module(embeddings, labels)
    similarity = {(i, j): cosine(embeddings[i], embeddings[j]) for i, j in PAIRS}
    if construction == "mixed":
        assert graph.mixture is not None
        first, second = graph.mixture.tolist()
        similarity = {
            (i, j): first * jaccard(labels[i], labels[j]) + second * value for (i, j), value in similarity.items()
        }
    cut = percentile(list(similarity.values()), 60) if threshold is None else threshold
    expected = linked(similarity, -2.0 if construction == "knn" else cut, neighbors)
    assert set(map(tuple, graph.edges.T.tolist())) == expected
    assert graph.edges.shape[1] == len(expected)
    assert len(expected) > 0
    assert torch.equal(graph.weights, torch.ones(len(expected)))


def test_the_mixture_by_hand(embeddings: Tensor, labels: Tensor) -> None:
    module = BatchGraph("mixed")
    means = [
        sum(cosine(embeddings[i], embeddings[j]) for i, j in PAIRS) / len(PAIRS),
        label_entropy(labels).item(),
        sum(jaccard(labels[i], labels[j]) for i, j in PAIRS) / len(PAIRS),
    ]
    expected = module.lambda_net(torch.tensor(means)).softmax(0)
    mixture = module(embeddings, labels).mixture
    torch.testing.assert_close(mixture, expected)
    assert mixture.sum().item() == pytest.approx(1)


def test_jaccard_links_texts_with_equal_labels(embeddings: Tensor) -> None:
    labels = torch.eye(3).repeat(3, 1)
    edges = BatchGraph("jaccard", threshold=0.9)(embeddings, labels).edges
    assert set(map(tuple, edges.T.tolist())) == {(j, i) for i, j in PAIRS if i % 3 == j % 3}


def test_jaccard_links_no_texts_without_a_common_label(embeddings: Tensor) -> None:
    labels = torch.eye(ROWS)[:, :-1]  # no pair has one; the last text has no label at all
    assert BatchGraph("jaccard")(embeddings, labels).edges.shape == (2, 0)
    labels[1, 0] = 1  # one pair in a batch whose percentile is 0
    edges = BatchGraph("jaccard")(embeddings, labels).edges
    assert set(map(tuple, edges.T.tolist())) == {(0, 1), (1, 0)}
    assert BatchGraph("jaccard")(embeddings).edges.shape[1] > 0  # in evaluation S is the cosine


@pytest.mark.parametrize("construction", CONSTRUCTIONS)
def test_no_text_hears_from_itself_or_from_more_than_its_neighbours(
    construction: Construction, embeddings: Tensor, labels: Tensor
) -> None:
    for given in (labels, None):
        edges = BatchGraph(construction, neighbors=2)(embeddings, given).edges
        assert (edges[0] != edges[1]).all()
        assert torch.bincount(edges[1], minlength=ROWS).max() == 2


def test_random_links_differ_from_step_to_step_but_not_in_evaluation(embeddings: Tensor, labels: Tensor) -> None:
    module = BatchGraph("random", neighbors=3)
    steps = [module(embeddings, labels).edges for _ in range(3)]
    assert not torch.equal(steps[0], steps[1])
    assert all(edges.shape == (2, 3 * ROWS) for edges in steps)
    state = torch.get_rng_state()
    assert torch.equal(module(embeddings).edges, module(embeddings).edges)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("construction", CONSTRUCTIONS)
def test_without_labels_there_is_nothing_of_them(construction: Construction, embeddings: Tensor) -> None:
    graph = BatchGraph(construction)(embeddings)
    assert graph.mixture is None
    if construction in ("mixed", "jaccard"):
        assert torch.equal(graph.edges, BatchGraph("cosine")(embeddings).edges)


def test_lambda_net_learns_through_the_threshold(embeddings: Tensor, labels: Tensor) -> None:
    module = BatchGraph("mixed")
    embeddings.requires_grad_()
    graph = module(embeddings, labels)
    (graph.weights * torch.linspace(0, 1, len(graph.weights))).sum().backward()
    for parameter in module.parameters():
        assert parameter.grad is not None
    assert module.lambda_net[0].weight.grad.abs().sum() > 0
    assert embeddings.grad is not None
    assert embeddings.grad.abs().sum() > 0


def test_the_straight_through_gradient_is_that_of_the_sigmoid(embeddings: Tensor) -> None:
    module = BatchGraph("cosine", threshold=0.2, temperature=0.5)
    embeddings.requires_grad_()
    graph = module(embeddings)
    gradient = torch.autograd.grad(graph.weights.sum(), embeddings)[0]
    unit = torch.nn.functional.normalize(embeddings, dim=1)
    similarity = (unit[graph.edges[0]] * unit[graph.edges[1]]).sum(1)
    expected = torch.autograd.grad(((similarity - 0.2) / 0.5).sigmoid().sum(), embeddings)[0]
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("construction", CONSTRUCTIONS)
@pytest.mark.parametrize("rows", [1, 2])
def test_the_smallest_batches(construction: Construction, rows: int, embeddings: Tensor, labels: Tensor) -> None:
    labels[:, 0] = 1  # by labels alone, texts that share one are linked
    graph = BatchGraph(construction)(embeddings[:rows].requires_grad_(), labels[:rows])
    assert graph.edges.tolist() == ([[], []] if rows == 1 else [[1, 0], [0, 1]])
    assert graph.weights.tolist() == [1.0] * graph.edges.shape[1]


@pytest.mark.parametrize("rows", [2, 5, 9])
def test_links_at_the_percentile_go_both_ways(rows: int, embeddings: Tensor) -> None:
    # one pair decides the highest percentile; rounding must not cut one of its two directions
    for seed in range(20):
        texts = torch.randn(rows, 384, generator=torch.Generator().manual_seed(seed))
        assert BatchGraph("cosine", percentile=100)(texts).edges.shape[1] == 2


def test_a_threshold_that_nothing_reaches_gives_no_edge(embeddings: Tensor, labels: Tensor) -> None:
    graph = BatchGraph("mixed", threshold=2.0)(embeddings.requires_grad_(), labels)
    assert graph.edges.shape == (2, 0)
    assert graph.weights.requires_grad


def test_mixed_precision_links_as_float32(embeddings: Tensor, labels: Tensor) -> None:
    module = BatchGraph("mixed")
    expected = module(embeddings, labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = module(embeddings, labels)
        half = module(embeddings.bfloat16(), labels)
    assert torch.equal(found.edges, expected.edges)
    assert torch.equal(found.mixture, expected.mixture)
    assert half.weights.dtype == torch.float32


def test_label_jaccard_and_entropy_by_loops(labels: Tensor) -> None:
    mask = torch.rand(ROWS, CLASSES, generator=torch.Generator().manual_seed(2)) < 0.7
    for known in (None, mask):
        found = label_jaccard(labels, known)
        rows = [None] * ROWS if known is None else known
        for i in range(ROWS):
            for j in range(ROWS):
                assert found[i, j].item() == pytest.approx(jaccard(labels[i], labels[j], rows[i], rows[j]))
    entropies = []
    for c in range(CLASSES):
        values = [y for y, there in zip(labels[:, c].tolist(), mask[:, c].tolist()) if there]
        rate = sum(values) / len(values)
        entropies.append(-sum(p * math.log(p) for p in (rate, 1 - rate) if p))
    assert label_entropy(labels, mask).item() == pytest.approx(sum(entropies) / CLASSES)
    assert label_entropy(torch.ones(2, 3)).item() == 0


@pytest.mark.parametrize("size", [0, 1, 2, 5])
def test_the_entries_outside_the_diagonal(size: int) -> None:
    matrix = torch.arange(size * size).view(size, size)
    assert between(matrix).tolist() == [i * size + j for i in range(size) for j in range(size) if i != j]


def test_strongest_of_a_rectangle() -> None:
    similarity = torch.tensor([[0.1, 0.9, 0.5], [0.3, 0.2, 0.1]])
    allowed = torch.tensor([[True, True, True], [False, False, True]])
    assert strongest(similarity, allowed, 2).T.tolist() == [[1, 0], [2, 0], [2, 1]]


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="the graph is one of mixed, cosine, jaccard, knn, random, found 'full'"):
        BatchGraph("full")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"percentile must lie in \[0, 100\], found 101"):
        BatchGraph(percentile=101)
    with pytest.raises(ValueError, match=r"must be positive, found 0 and 0\.07"):
        BatchGraph(neighbors=0)
