import math

import pytest
import torch
from torch import Tensor

from mlemo.nn.attention_pooling import AttentionPooling

WIDTH = 4


@pytest.fixture
def states() -> Tensor:
    return torch.randn(3, 6, WIDTH, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def mask() -> Tensor:
    return torch.tensor([[1] * 6, [1, 1, 1, 0, 0, 0], [1] + [0] * 5])


def pooling(top_k: int | None = None) -> AttentionPooling:
    torch.manual_seed(1)
    return AttentionPooling(WIDTH, top_k)


@pytest.mark.parametrize("top_k", [None, 1, 2, 5, 9])
def test_the_formula_by_loops(top_k: int | None, states: Tensor, mask: Tensor) -> None:
    module = pooling(top_k)
    vectors, weights = module(states, mask)
    direction, bias = module.score.weight[0].tolist(), module.score.bias.item()
    for row in range(3):
        scores = {
            token: sum(h * a for h, a in zip(states[row, token].tolist(), direction)) + bias
            for token in range(6)
            if mask[row, token]
        }
        kept = sorted(scores, key=lambda token: -scores[token])[:top_k]
        total = sum(math.exp(scores[token]) for token in kept)
        expected = [math.exp(scores[token]) / total if token in kept else 0.0 for token in range(6)]
        assert weights[row].tolist() == pytest.approx(expected, abs=1e-6)
        vector = [sum(w * h for w, h in zip(expected, states[row, :, d].tolist())) for d in range(WIDTH)]
        assert vectors[row].tolist() == pytest.approx(vector, abs=1e-6)


@pytest.mark.parametrize("top_k", [None, 2])
def test_padding_changes_nothing(top_k: int | None, states: Tensor, mask: Tensor) -> None:
    module = pooling(top_k)
    vectors, weights = module(states, mask)
    garbage = states.masked_fill(mask[..., None] == 0, 1e4)
    assert torch.equal(module(garbage, mask)[0], vectors)
    assert (weights[mask == 0] == 0).all()
    torch.testing.assert_close(module(states[1:2, :3], mask[1:2, :3])[0], vectors[1:2])


def test_equal_scores_keep_no_more_than_k(mask: Tensor) -> None:
    weights = pooling(2)(torch.ones(3, 6, WIDTH), mask)[1]
    assert (weights > 0).sum(1).tolist() == [2, 2, 1]
    assert weights.sum(1).tolist() == pytest.approx([1, 1, 1])


def test_gradients_reach_the_scores_and_the_states(states: Tensor, mask: Tensor) -> None:
    module = pooling(3)
    states.requires_grad_()
    module(states, mask)[0].square().sum().backward()
    assert states.grad is not None
    assert module.score.weight.grad is not None
    assert module.score.weight.grad.abs().sum() > 0
    assert (states.grad[mask == 0] == 0).all()


def test_a_k_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="top_k must be at least 1, found 0"):
        AttentionPooling(WIDTH, 0)
