import copy
from typing import get_args

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mlemo.nn.graph_network import GCNConv, GraphNetwork, Kind, MixedAggregation, SageConv

NODES, WIDTH = 7, 4
KINDS = get_args(Kind)


@pytest.fixture
def states() -> Tensor:
    return torch.randn(NODES, WIDTH, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def edges() -> Tensor:
    """Text 0 hears from three, 1 from one, 2 from two, the others from nobody; in no order."""
    return torch.tensor([[3, 5, 2, 6, 0, 4], [0, 2, 0, 1, 2, 0]])


@pytest.fixture
def weights() -> Tensor:
    return torch.tensor([0.5, 1.0, 2.0, 1.5, 1.0, 0.25])


def heard(states: Tensor, edges: Tensor, weights: Tensor, node: int) -> list[Tensor]:
    return [w * states[j] for j, i, w in zip(*edges.tolist(), weights.tolist()) if i == node]


def aggregate(module: MixedAggregation, messages: list[Tensor]) -> Tensor:
    """The mixture of mean, maximum and attention over one text's messages."""
    if not messages:
        return torch.zeros(WIDTH)
    gate = module.aggregations[2].gate_nn
    scores = torch.stack([gate(message)[0] for message in messages]).softmax(0)
    parts = [
        sum(messages) / len(messages),  # type: ignore[arg-type]
        torch.tensor([max(message[d].item() for message in messages) for d in range(WIDTH)]),
        sum((score * message for score, message in zip(scores, messages)), torch.zeros(WIDTH)),
    ]
    mixture = module.logits.softmax(0)
    return sum((weight * part for weight, part in zip(mixture, parts)), torch.zeros(WIDTH))


def test_graph_sage_by_a_loop_over_nodes_and_neighbours(states: Tensor, edges: Tensor, weights: Tensor) -> None:
    torch.manual_seed(1)
    conv = SageConv(WIDTH)
    conv.aggr_module.logits.data = torch.tensor([0.3, -1.0, 0.7])
    found = conv(states, edges, weights)
    for node in range(NODES):
        neighbours = aggregate(conv.aggr_module, heard(states, edges, weights, node))
        expected = conv.own.weight @ states[node] + conv.own.bias + conv.neighbors.weight @ neighbours
        torch.testing.assert_close(found[node], expected)


def test_gcn_by_a_loop_over_nodes_and_neighbours(states: Tensor, edges: Tensor, weights: Tensor) -> None:
    torch.manual_seed(1)
    conv = GCNConv(WIDTH)
    found = conv(states, edges, weights)
    for node in range(NODES):
        messages = [states[node], *heard(states, edges, weights, node)]
        torch.testing.assert_close(found[node], conv.linear(torch.stack(messages).mean(0)))


def test_gat_by_a_loop_over_nodes_and_neighbours(states: Tensor, edges: Tensor) -> None:
    torch.manual_seed(1)
    network = GraphNetwork(WIDTH, "gat", 1, 0.0)
    conv = network.convolutions[0]
    found = conv(states, edges, torch.ones(6))
    vectors = states @ conv.lin.weight.T
    edge = (conv.lin_edge.weight.view(1, 1, -1) * conv.att_edge).sum()
    for node in range(NODES):
        sources = [j for j, i in edges.T.tolist() if i == node]
        # the edge of a text to itself has the mean weight of its others: 1, and 0 where there are none
        scores = [
            (vectors[j] @ conv.att_src[0, 0] + vectors[node] @ conv.att_dst[0, 0] + edge * (1.0 if sources else 0.0))
            for j in (*sources, node)
        ]
        shares = F.leaky_relu(torch.stack(scores), 0.2).softmax(0)
        expected = sum((share * vectors[j] for share, j in zip(shares, (*sources, node))), conv.bias)
        torch.testing.assert_close(found[node], expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_layers_by_hand(kind: Kind, depth: int, states: Tensor, edges: Tensor) -> None:
    torch.manual_seed(2)
    network = GraphNetwork(WIDTH, kind, depth, dropout=0.5).eval()
    expected, ones = states, torch.ones(6)
    for conv, norm in zip(network.convolutions, network.norms):
        expected = F.layer_norm(conv(expected, edges, ones).clamp(min=0), (WIDTH,), norm.weight, norm.bias)
    torch.testing.assert_close(network(states, edges, ones), expected)
    assert len(network.convolutions) == depth
    dropped = network.train()(states, edges, ones)
    assert not torch.allclose(dropped, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_text_hears_depends_on_its_own_neighbours_alone(kind: Kind, states: Tensor, edges: Tensor) -> None:
    # so that a memory, whose texts come without their neighbours, gives the same
    network = GraphNetwork(WIDTH, kind, 1, 0.0)
    whole = network(states, edges, torch.ones(6))
    kept = edges[:, edges[1] == 0]
    torch.testing.assert_close(network(states, kept, torch.ones(3))[0], whole[0])


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_every_weight_and_the_edges(kind: Kind, states: Tensor, edges: Tensor) -> None:
    torch.manual_seed(3)
    network = GraphNetwork(WIDTH, kind, 2, 0.0)
    weights = torch.ones(6, requires_grad=True)
    network(states, edges, weights).pow(3).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        # the score of a text's own vector and the bias of the gate are the same for all of a softmax
        if not name.endswith(("att_dst", "gate_nn.bias")):
            assert parameter.grad.abs().sum() > 0, name
    assert weights.grad is not None
    assert weights.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("nodes", [1, 2, 7])
def test_a_graph_without_edges(kind: Kind, nodes: int, states: Tensor) -> None:
    network = GraphNetwork(WIDTH, kind, 2)
    nothing = torch.empty(2, 0, dtype=torch.long)
    found = network(states[:nodes], nothing, torch.empty(0))
    assert found.isfinite().all()
    found.square().sum().backward()
    for parameter in network.parameters():
        assert parameter.grad is not None, "several processes want a gradient of every parameter at every step"
        assert parameter.grad.isfinite().all()
    if kind == "sage":
        conv = network.convolutions[0]
        torch.testing.assert_close(conv(states, nothing, torch.empty(0)), conv.own(states))


@pytest.mark.parametrize("kind", KINDS)
def test_mixed_precision_and_copies(kind: Kind, states: Tensor, edges: Tensor) -> None:
    network = GraphNetwork(WIDTH, kind, 2, 0.0)
    expected = network(states, edges, torch.ones(6))
    assert torch.equal(copy.deepcopy(network)(states, edges, torch.ones(6)), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = network(states.bfloat16(), edges, torch.ones(6))
    torch.testing.assert_close(found.float(), expected, atol=0.1, rtol=0.1)


def test_the_mixtures_are_named() -> None:
    network = GraphNetwork(WIDTH, "sage", 2)
    assert [list(mixture) for mixture in network.mixtures()] == [["mean", "max", "attention"]] * 2
    assert [weight.item() for weight in network.mixtures()[0].values()] == pytest.approx([1 / 3] * 3)
    assert GraphNetwork(WIDTH, "gcn").mixtures() == []


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one layer, found depth 0"):
        GraphNetwork(WIDTH, depth=0)
    with pytest.raises(ValueError, match="one of sage, gcn, gat, found 'gin'"):
        GraphNetwork(WIDTH, "gin")  # type: ignore[arg-type]
