"""Fully connected networks with (leaky) ReLUs, initialized as those of Hang and Zhang."""

from __future__ import annotations

from torch import nn
from torch_geometric.nn import MLP

__all__ = ["rectifier_mlp"]


def rectifier_mlp(
    widths: list[int],
    *,
    slope: float = 0.0,
    dropout: float = 0.0,
    batch_norm: bool = False,
    plain_last: bool = False,
) -> MLP:
    """Linear layers, each followed by batch normalization, a (leaky) ReLU and dropout.

    Weights are drawn as by He et al. (2015), for the slope; biases between 0 and 0.1, so that few units are always 0 at
    the start. Batch normalization uses its running statistics for batches of one row.

    Args:
        widths: Widths of input, hidden layers and output.
        slope: Slope of the rectifier below zero.
        dropout: Dropout after every rectifier.
        batch_norm: Normalize before every rectifier.
        plain_last: Use a linear last layer.
    """
    network = MLP(
        widths,
        act="leaky_relu",
        act_kwargs={"negative_slope": slope},
        norm="batch_norm" if batch_norm else None,
        norm_kwargs={"allow_single_element": True} if batch_norm else None,
        plain_last=plain_last,
        dropout=dropout,
    )
    for layer in network.lins:
        nn.init.kaiming_uniform_(layer.weight, a=slope, nonlinearity="leaky_relu")
        nn.init.uniform_(layer.bias, 0, 0.1)
    return network
