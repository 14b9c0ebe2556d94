import pytest
import torch

from mlemo.nn.label_graph import LabelGraphEncoder, conditional_adjacency


def test_the_adjacency_is_the_mean_of_both_conditional_probabilities() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(60, 5, generator=generator) < 0.3).float()
    found = conditional_adjacency(labels)
    rows = [set(row.nonzero()[:, 0].tolist()) for row in labels]
    for i in range(5):
        for j in range(5):
            both = sum(i in row and j in row for row in rows)
            expected = (both / sum(i in row for row in rows) + both / sum(j in row for row in rows)) / 2
            assert found[i, j].item() == pytest.approx(0 if i == j else expected)


def test_a_label_that_never_occurs_has_no_neighbour() -> None:
    found = conditional_adjacency(torch.tensor([[1.0, 0.0, 1.0], [1.0, 0.0, 0.0]]))
    assert not found[1].any()
    assert not found[:, 1].any()
    assert found.isfinite().all()
    assert torch.equal(conditional_adjacency(torch.zeros(0, 3)), torch.zeros(3, 3))


def test_the_layers_are_the_formula() -> None:
    torch.manual_seed(0)
    encoder = LabelGraphEncoder(width=4, embedding=6, dropout=0.0)
    with torch.no_grad():
        encoder.epsilon += torch.tensor([0.5, -0.2])
    vectors, adjacency = torch.randn(4, 4), torch.rand(4, 4)
    sums = torch.stack([(1 + 0.5) * vectors[i] + sum(adjacency[i, j] * vectors[j] for j in range(4)) for i in range(4)])
    first = encoder.layers[0](sums)  # widths differ: no residual
    sums = torch.stack([(1 - 0.2) * first[i] + sum(adjacency[i, j] * first[j] for j in range(4)) for i in range(4)])
    second = encoder.layers[1](sums) + first
    assert torch.allclose(encoder(vectors, adjacency), second, atol=1e-5)
    assert second.shape == (4, 6)


def test_both_layers_have_a_residual_where_the_widths_agree() -> None:
    encoder = LabelGraphEncoder(width=6, embedding=6, dropout=0.0)
    for layer in encoder.layers:
        layer.forward = torch.zeros_like  # type: ignore[method-assign]
    vectors = torch.randn(6, 6)
    assert torch.equal(encoder(vectors, torch.rand(6, 6)), vectors)


def test_a_label_hears_its_neighbours_only() -> None:
    encoder = LabelGraphEncoder(width=3, embedding=4, dropout=0.0).eval()
    vectors, chain = torch.randn(3, 3), torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    changed = vectors.clone()
    changed[2] += 1
    before, after = encoder(vectors, chain), encoder(changed, chain)
    assert torch.equal(before[:2], after[:2])
    assert not torch.allclose(before[2], after[2])


def test_the_layers_normalise_over_the_labels() -> None:
    encoder = LabelGraphEncoder(width=4, embedding=6, dropout=0.0)
    vectors, adjacency = torch.randn(4, 4), torch.rand(4, 4)
    assert torch.allclose(encoder(10 * vectors, adjacency), encoder(vectors, adjacency), atol=0.01)
    encoder.eval()
    assert not torch.allclose(encoder(10 * vectors, adjacency), encoder(vectors, adjacency), atol=0.01)
