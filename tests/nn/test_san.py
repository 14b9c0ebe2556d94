"""The refiner against its formula, written with its own weights."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mlemo.nn.san import SelfAttentionRefiner

B, M, L, D, H = 3, 4, 9, 12, 3
SCOPES = ["independent", "labels", "context"]


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    mask = torch.ones(B, L, dtype=torch.long)
    mask[0, 6:], mask[2, 4:] = 0, 0
    return torch.randn(B, M, D, generator=generator), torch.randn(B, L, D, generator=generator), mask


def make(scope: str, dropout: float = 0.0) -> SelfAttentionRefiner:
    torch.manual_seed(5)
    refiner = SelfAttentionRefiner(D, H, dropout, scope).double().eval()
    for parameter in refiner.parameters():  # biases too: nn.MultiheadAttention starts with zeros
        torch.nn.init.normal_(parameter, std=0.5)
    return refiner


def projected(refiner: SelfAttentionRefiner, states: Tensor, which: int) -> Tensor:
    """Query, key or value of every head, ``(B, H, N, D / H)``."""
    weight = refiner.attention.in_proj_weight[which * D : (which + 1) * D]
    bias = refiner.attention.in_proj_bias[which * D : (which + 1) * D]
    return (states @ weight.T + bias).unflatten(-1, (H, D // H)).transpose(1, 2)


def normed(refiner: SelfAttentionRefiner, values: Tensor) -> Tensor:
    mean, variance = values.mean(-1, keepdim=True), values.var(-1, keepdim=True, unbiased=False)
    return (values - mean) / (variance + refiner.norm.eps).sqrt() * refiner.norm.weight + refiner.norm.bias


def output(refiner: SelfAttentionRefiner, heads: Tensor) -> Tensor:
    joined = heads.transpose(1, 2).flatten(-2)
    return joined @ refiner.attention.out_proj.weight.T + refiner.attention.out_proj.bias


def test_independent_is_a_linear_map(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    readouts, states, mask = (part.double() if part.is_floating_point() else part for part in inputs)
    refiner = make("independent")
    value_weight, value_bias = refiner.attention.in_proj_weight[2 * D :], refiner.attention.in_proj_bias[2 * D :]
    out = refiner.attention.out_proj
    linear = (readouts @ value_weight.T + value_bias) @ out.weight.T + out.bias
    torch.testing.assert_close(refiner(readouts, states, mask), normed(refiner, readouts + linear))


@pytest.mark.parametrize("scope", ["labels", "context"])
def test_attention_by_hand(scope: str, inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    readouts, states, mask = (part.double() if part.is_floating_point() else part for part in inputs)
    refiner = make(scope)
    keys = readouts if scope == "labels" else states
    allowed = None if scope == "labels" else mask.bool()[:, None, None, :]
    query, key, value = (projected(refiner, part, which) for which, part in enumerate((readouts, keys, keys)))
    heads = F.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
    expected = normed(refiner, readouts + output(refiner, heads))
    torch.testing.assert_close(refiner(readouts, states, mask), expected)
    scores = query @ key.transpose(-1, -2) / math.sqrt(D // H)  # and softmax(QKᵀ/√d)V itself
    if allowed is not None:
        scores = scores.masked_fill(~allowed, -torch.inf)
    torch.testing.assert_close(heads, scores.softmax(-1) @ value)


@pytest.mark.parametrize("scope", SCOPES)
def test_padding_is_not_attended_to(scope: str, inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    readouts, states, mask = inputs
    refiner = make(scope).float()
    spoilt = states.masked_fill(mask[..., None] == 0, 100.0)
    assert torch.equal(refiner(readouts, spoilt, mask), refiner(readouts, states, mask))
    changed = states.clone()
    changed[:, 0] += 1.0
    assert torch.allclose(refiner(readouts, changed, mask), refiner(readouts, states, mask)) == (scope != "context")


@pytest.mark.parametrize("scope", SCOPES)
def test_what_a_readout_sees_of_the_others(scope: str, inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    readouts, states, mask = inputs
    refiner = make(scope).float()
    changed = readouts.clone()
    changed[:, 1] += 1.0
    same = torch.isclose(refiner(changed, states, mask), refiner(readouts, states, mask), atol=1e-5).all(-1)
    assert not same[:, 1].any()
    assert same[:, [0, 2, 3]].all() == (scope != "labels")


@pytest.mark.parametrize("scope", SCOPES)
def test_permuting_the_readouts_permutes_the_result(scope: str, inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    readouts, states, mask = inputs
    refiner = make(scope).float()
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(refiner(readouts[:, order], states, mask), refiner(readouts, states, mask)[:, order])


@pytest.mark.parametrize("scope", SCOPES)
def test_dropout_is_active_in_training_only(scope: str, inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    refiner = make(scope, dropout=0.5).float()
    assert torch.equal(refiner(*inputs), refiner(*inputs))
    refiner.train()
    assert not torch.equal(refiner(*inputs), refiner(*inputs))


def test_size_is_the_papers() -> None:
    """Four 768 × 768 projections with biases, and the normalisation: the 2.4 M of Table 7 of Hu et al."""
    refiner = SelfAttentionRefiner(768)
    assert refiner.attention.num_heads == 12
    assert sum(parameter.numel() for parameter in refiner.parameters()) == 4 * 768 * 768 + 4 * 768 + 2 * 768


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match=r"model\.heads must divide the encoder's width, found 5 heads and width 12"):
        SelfAttentionRefiner(12, 5)
