import math

import pytest
import torch
from torch import Tensor

from mlemo.nn.label_flow import LabelFlow


def make(labels: int, width: int, *, scatter: float = 0.5, **settings: int) -> LabelFlow:
    """A flow that is far from the standard normal, and different for each label."""
    torch.manual_seed(0)
    flow = LabelFlow(labels, width, **{"hidden": 12, "units": 4} | settings)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=scatter)
    return flow


def to_normal(flow: LabelFlow, codes: Tensor) -> tuple[Tensor, Tensor]:
    """Normal variables and log slopes, ``(B, labels, D)`` each."""
    hidden = torch.nn.functional.linear(codes, flow.first.weight * flow.input_mask, flow.first.bias)
    normal, log_slope = flow._to_normal(codes, hidden, slice(0, len(flow.label_bias)))
    return normal.permute(2, 1, 0), log_slope.permute(2, 1, 0)


@pytest.mark.parametrize("width", [1, 2])
def test_every_density_integrates_to_one(width: int) -> None:
    flow = make(3, width, scatter=0.2)
    axis = torch.linspace(-30, 30, 6001 if width == 1 else 601)
    step = (axis[1] - axis[0]).item()
    with torch.no_grad():
        densities = flow(torch.cartesian_prod(*[axis] * width).view(-1, width)).double().exp()
    assert torch.allclose(densities.sum(0) * step**width, torch.ones(3, dtype=torch.float64), atol=2e-4)
    assert (densities[:, 0] - densities[:, 1]).abs().max() > 0.01


def test_the_slopes_are_the_diagonal_of_a_triangular_jacobian() -> None:
    flow, codes = make(2, 5, hidden=20), torch.randn(3, 5)
    _, log_slope = to_normal(flow, codes)
    for row in range(3):
        for label in range(2):
            jacobian = torch.autograd.functional.jacobian(
                lambda code, label=label: to_normal(flow, code[None])[0][0, label], codes[row]
            )
            assert not jacobian.triu(1).any()
            assert jacobian.tril(-1).any()
            assert torch.allclose(jacobian.diagonal().log(), log_slope[row, label], atol=1e-4)
            assert torch.linalg.slogdet(jacobian)[1].item() == pytest.approx(
                log_slope[row, label].sum().item(), abs=1e-4
            )


def test_the_log_density_is_the_formula() -> None:
    flow, codes = make(2, 3, hidden=9), torch.randn(4, 3)
    density = flow(codes)
    hidden = flow.first.weight * flow.input_mask
    seconds = flow.second.weight * flow.output_mask
    for row in range(4):
        for label in range(2):
            state = torch.nn.functional.elu(hidden @ codes[row] + flow.first.bias + flow.label_bias[label])
            seen = (seconds @ state + flow.second.bias).view(3, flow.seen)
            total = 0.0
            for d in range(3):
                a, b, w = (part.tolist() for part in flow.parameters_of_units(seen[d]).chunk(3))
                a = [math.log1p(math.exp(value)) + 1e-6 for value in a]
                w = [math.exp(value) / sum(map(math.exp, w)) for value in w]
                on = [1 / (1 + math.exp(-a[u] * codes[row, d].item() - b[u])) for u in range(4)]
                mixture = sum(w[u] * on[u] for u in range(4))
                slope = sum(w[u] * a[u] * on[u] * (1 - on[u]) for u in range(4)) / (mixture * (1 - mixture))
                scale = math.log1p(math.exp(flow.raw_scale[label, d].item())) + 1e-6
                normal = (math.log(mixture / (1 - mixture)) - flow.shift[label, d].item()) * scale
                total += math.log(slope * scale) - normal**2 / 2 - math.log(2 * math.pi) / 2
            assert density[row, label].item() == pytest.approx(total, abs=1e-3)


def test_parts_give_the_same_values_and_gradients_as_the_whole() -> None:
    whole, parts = make(7, 3), make(7, 3, entries=2 * 5 * 3 * 4)  # two labels at a time
    results = []
    for flow in (whole, parts):
        codes = torch.randn(5, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
        density = flow(codes)
        (density * torch.arange(7.0)).sum().backward()
        results.append([density, codes.grad, *(parameter.grad for parameter in flow.parameters())])
        with torch.no_grad():
            assert torch.allclose(flow(codes), density, atol=1e-5)
    for first, second in zip(*results):
        assert torch.allclose(first, second, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("width", [1, 12, 40])
def test_every_dimension_hears_the_label_however_many_there_are(width: int) -> None:
    flow = make(2, width, hidden=12)
    with torch.no_grad():
        flow.shift.zero_()
        flow.raw_scale.zero_()
        normal, _ = to_normal(flow, torch.randn(1, width))
    heard = (normal[0, 0] - normal[0, 1]).abs() > 1e-6
    assert heard[1:].all()  # the first dimension reads no hidden unit, and hears its label from the affine map


@pytest.mark.parametrize("size", [1e2, 1e4, 1e6])
def test_codes_far_out_have_finite_densities_and_gradients(size: float) -> None:
    flow = make(3, 4)
    codes = (size * torch.randn(5, 4)).requires_grad_()
    density = flow(codes)
    density.sum().backward()
    assert density.isfinite().all()
    assert (density < -100).any()
    for gradient in (codes.grad, *(parameter.grad for parameter in flow.parameters())):
        assert gradient.isfinite().all()


def test_the_start_is_close_to_the_standard_normal() -> None:
    torch.manual_seed(0)
    flow, codes = LabelFlow(2, 4), torch.randn(200, 4)
    with torch.no_grad():
        expected = torch.distributions.Normal(0, 1).log_prob(codes).sum(1)
        assert (flow(codes) - expected[:, None]).abs().mean() < 2
