import math

import pytest
import torch

from mlemo.nn.noise_gates import NoiseGates


@pytest.mark.parametrize("off_noise", [0.0, 0.5])
def test_a_gate_is_open_as_often_as_its_logit_says(off_noise: float) -> None:
    torch.manual_seed(0)
    gates = NoiseGates(3, 4, off_noise)
    with torch.no_grad():
        gates.label_vectors /= 10
        draws = torch.stack([gates() for _ in range(4000)])
        expected = gates.scale(gates.label_vectors).sigmoid()
    assert draws.shape == (4000, 3, 4)
    assert set(draws.unique().tolist()) == {off_noise, 1.0}
    assert torch.allclose((draws == 1).float().mean(0), expected, atol=5 * 0.5 / math.sqrt(4000))


def test_the_gradient_is_that_of_the_soft_gate() -> None:
    torch.manual_seed(0)
    gates = NoiseGates(3, 4, temperature=0.7)
    torch.manual_seed(1)
    found = torch.autograd.grad((gates() * torch.arange(12.0).view(3, 4)).sum(), gates.label_vectors)[0]
    torch.manual_seed(1)
    uniform = torch.rand(3, 4)
    noise = uniform.log() - (1 - uniform).log()
    soft = ((gates.scale(gates.label_vectors) + noise) / 0.7).sigmoid()
    expected = torch.autograd.grad((soft * torch.arange(12.0).view(3, 4)).sum(), gates.label_vectors)[0]
    assert torch.allclose(found, expected, atol=1e-6)
    assert found.any()


def test_the_start() -> None:
    gates = NoiseGates(200, 30)
    assert 9 < gates.label_vectors.abs().max() <= 10
    assert torch.equal(gates.scale.bias, torch.full((30,), 2.0))


@pytest.mark.parametrize("off_noise", [-0.1, 1.1])
def test_a_noise_outside_its_range_is_refused(off_noise: float) -> None:
    with pytest.raises(ValueError, match=rf"model\.off_noise must lie in \[0, 1\], found {off_noise}"):
        NoiseGates(2, 3, off_noise)
