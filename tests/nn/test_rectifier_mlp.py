import math

import pytest
import torch
from torch import nn

from mlemo.nn.rectifier_mlp import rectifier_mlp


@pytest.mark.parametrize("slope", [0.0, 0.1])
def test_the_layers_and_their_start(slope: float) -> None:
    torch.manual_seed(0)
    network = rectifier_mlp([40, 60, 50], slope=slope)
    first, second = network.lins
    for layer, width in ((first, 40), (second, 60)):
        bound = math.sqrt(6 / (1 + slope**2) / width)
        assert layer.weight.abs().max().item() == pytest.approx(bound, rel=0.01)
        assert 0 <= layer.bias.min() < 0.01 < 0.09 < layer.bias.max() <= 0.1
    rectify, features = nn.LeakyReLU(slope), torch.randn(7, 40)
    assert torch.allclose(network(features), rectify(second(rectify(first(features)))), atol=1e-6)
    plain = rectifier_mlp([40, 60, 50], slope=slope, plain_last=True)
    first, second = plain.lins
    assert torch.allclose(plain(features), second(rectify(first(features))), atol=1e-6)


def test_dropout_stands_behind_every_rectifier() -> None:
    network = rectifier_mlp([20, 30, 1000], dropout=0.5)
    values = network(torch.ones(1, 20))
    assert (values == 0).float().mean() > 0.5
    assert not torch.equal(network(torch.ones(1, 20)), values)
    network.eval()
    assert torch.equal(network(torch.ones(1, 20)), network(torch.ones(1, 20)))
    assert rectifier_mlp([20, 30, 10], dropout=0.5, plain_last=True).dropout == [0.5, 0.0]


def test_batch_normalisation_comes_before_every_rectifier_and_allows_one_row() -> None:
    torch.manual_seed(0)
    network = rectifier_mlp([4, 6, 5], slope=0.1, batch_norm=True)
    values = network(torch.randn(50, 4))
    undone = torch.where(values > 0, values, values / 0.1)
    assert torch.allclose(undone.mean(0), torch.zeros(5), atol=1e-5)
    assert torch.allclose(undone.std(0, unbiased=False), torch.ones(5), atol=1e-3)
    assert network(torch.randn(1, 4)).isfinite().all()
