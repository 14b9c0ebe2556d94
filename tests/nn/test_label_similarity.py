"""The linear head over vectors of texts and label descriptions, against an optimizer of its own."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize, softplus

from mlemo.nn.label_similarity import cosines, offsets, similarity_head


def problem() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    texts, descriptions = torch.randn(30, 6, generator=generator), torch.randn(3, 6, generator=generator)
    labels = (texts @ descriptions.T + torch.randn(30, 3, generator=generator) > 1).float()
    return 5 * texts, descriptions, labels, torch.rand(30, 3, generator=generator) < 0.8


def optimum(x: Tensor, anchor: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Weight and bias of the head of one label."""
    row_weights = torch.where(y > 0, 0.5 / y.mean(), 0.5 / (1 - y.mean()))
    u, a, b = (torch.zeros(size, dtype=torch.double, requires_grad=True) for size in (6, 1, 1))
    optimizer = torch.optim.LBFGS([u, a, b], max_iter=500, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        optimizer.zero_grad()
        logits = x @ u + 3 * a * (x @ anchor) + b
        value = 0.5 * (u @ u + a @ a) + (row_weights * softplus(-(2 * y - 1) * logits)).sum()
        value.backward()
        return value

    optimizer.step(objective)  # type: ignore[arg-type]
    return (u + 3 * a * anchor).detach().float(), b.detach().float()[0]


def test_the_head_is_the_optimum_of_its_objective() -> None:
    texts, descriptions, labels, mask = problem()
    weight, bias = similarity_head(texts, descriptions, labels, mask)
    x, anchors = normalize(texts.double(), dim=1), normalize(descriptions.double(), dim=1)
    for label, anchor in enumerate(anchors):
        rows = mask[:, label]
        expected_weight, expected_bias = optimum(x[rows], anchor, labels[rows, label].double())
        torch.testing.assert_close(weight[label], expected_weight, atol=1e-3, rtol=0)
        torch.testing.assert_close(bias[label], expected_bias, atol=1e-3, rtol=0)


def test_a_label_with_one_value_has_it_everywhere() -> None:
    texts, descriptions, labels, mask = problem()
    labels[:, 0], mask[:, 1] = 0, False
    weight, bias = similarity_head(texts, descriptions, labels, mask)
    assert not weight[:2].any()
    assert (bias[:2].sigmoid() < 1e-6).all()
    assert weight[2].any()


def test_a_share_of_the_texts_is_above_the_offsets() -> None:
    texts, descriptions, _, _ = problem()
    similarities = cosines(texts, descriptions)
    found = offsets(similarities, torch.tensor([0.0, 0.2, 1.0]))
    torch.testing.assert_close((similarities > found).float().mean(0)[:2], torch.tensor([0.0, 0.2]))
    assert found[2] == similarities[:, 2].min()
