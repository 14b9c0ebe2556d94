from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode

from mlemo.nn.graph_network import GraphNetwork, Kind
from mlemo.nn.memory import Memory
from mlemo.nn.memory_graph import memory_states, pass_from_memory

WIDTH, ROWS, LABELS, TEXTS = 6, 9, 3, 4


def network(kind: Kind, depth: int = 2) -> GraphNetwork:
    torch.manual_seed(0)
    return GraphNetwork(WIDTH, kind, depth, dropout=0.0)


def random(*shape: int, seed: int = 1) -> Tensor:
    # numbers that half precision holds
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).half().float()


@pytest.fixture
def memory() -> Memory:
    labels = random(ROWS, LABELS, seed=2) > 0
    return Memory(random(2, ROWS, WIDTH), torch.arange(ROWS), labels)


def one_by_one(
    of: GraphNetwork, text: Tensor, memory: Memory, threshold: float | None, excluded: int, embed: nn.Module
) -> Tensor:
    """The state of one text, in a graph of itself and its neighbors alone."""
    cosines = torch.cosine_similarity(text[None], memory.states[0].float(), dim=1)
    order = [place for place in cosines.argsort(descending=True).tolist() if place != excluded][:3]
    near = [place for place in order if threshold is None or cosines[place] >= threshold]
    edges = torch.tensor([[1 + number for number in range(len(near))], [0] * len(near)]).view(2, -1).long()
    state = text[None]
    for layer in range(2):
        sources = [memory.states[layer, place].float() + embed(memory.labels[place].float()) for place in near]
        state = of.layer(layer, torch.stack([state[0], *sources]), edges, torch.ones(len(near)))[:1]
    return state[0]


@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize("threshold", [None, 0.2, 2.0])
def test_each_text_receives_its_nearest_texts_and_their_labels(
    kind: Kind, threshold: float | None, memory: Memory
) -> None:
    of, embed, texts = network(kind), nn.Linear(LABELS, WIDTH, bias=False), random(TEXTS, WIDTH, seed=3)
    exclude = torch.tensor([-1, 4, 0, -1])
    exclude[2] = torch.cosine_similarity(texts[2:3], memory.states[0].float(), dim=1).argmax()
    found = pass_from_memory(
        of, texts, memory, neighbors=3, threshold=threshold, exclude=exclude, label_embedding=embed
    )
    for row in range(TEXTS):
        expected = one_by_one(of, texts[row], memory, threshold, int(exclude[row]), embed)
        torch.testing.assert_close(found[row], expected)


@pytest.mark.parametrize("kind", get_args(Kind))
def test_states_of_a_memory_are_those_of_a_graph_of_all_its_texts(kind: Kind) -> None:
    of, texts = network(kind, depth=3), random(ROWS, WIDTH)
    unit = nn.functional.normalize(texts, dim=1)
    sources = (unit @ unit.T).fill_diagonal_(-2).topk(3, 1).indices
    edges = torch.stack([sources.flatten(), torch.arange(ROWS).repeat_interleave(3)])
    expected = [texts]
    for layer in range(2):
        expected.append(of.layer(layer, expected[-1], edges, torch.ones(edges.shape[1])))
    torch.testing.assert_close(memory_states(of, texts, 3), torch.stack(expected))


def test_gradients_reach_text_network_and_label_embedding_and_not_the_memory(memory: Memory) -> None:
    of, embed = network("sage"), nn.Linear(LABELS, WIDTH, bias=False)
    texts = random(TEXTS, WIDTH, seed=3).requires_grad_()
    pass_from_memory(of, texts, memory, neighbors=3, label_embedding=embed)[0, 0].backward()
    assert texts.grad is not None
    assert (texts.grad.abs().sum(1) > 0).tolist() == [True, False, False, False]
    assert embed.weight.grad is not None
    assert embed.weight.grad.abs().sum() > 0
    assert not memory.states.requires_grad


def test_no_value_is_needed_on_the_host(memory: Memory) -> None:
    """Fake tensors have no values: an operation that needs one, which synchronizes a GPU, raises."""
    of, embed = network("sage"), nn.Linear(LABELS, WIDTH, bias=False)
    with FakeTensorMode(allow_non_fake_inputs=True):
        texts = torch.empty(TEXTS, WIDTH, requires_grad=True)
        exclude = memory.places(torch.empty(TEXTS, dtype=torch.long))
        found = pass_from_memory(of, texts, memory, neighbors=3, threshold=0.2, exclude=exclude, label_embedding=embed)
        found.sum().backward()
        assert found.shape == (TEXTS, WIDTH)
        with pytest.raises(DynamicOutputShapeException):
            texts.nonzero()
        with pytest.raises(DataDependentOutputException):
            texts.sum().item()


def test_labels_are_needed_to_embed_them() -> None:
    memory = Memory(random(2, ROWS, WIDTH), torch.arange(ROWS))
    with pytest.raises(ValueError, match="the memory has no labels"):
        pass_from_memory(
            network("sage"), random(TEXTS, WIDTH), memory, neighbors=3, label_embedding=nn.Linear(LABELS, WIDTH)
        )
