"""Objectives: one contract, one file a loss or a family of two or three."""

from mlemo.losses.asymmetric import AsymmetricLoss
from mlemo.losses.base import Loss
from mlemo.losses.binary_cross_entropy import BinaryCrossEntropy, positive_weights
from mlemo.losses.focal import FocalLoss
from mlemo.losses.wasserstein import WassersteinLoss
from mlemo.losses.weighted_difference import WeightedDifferenceLoss

__all__ = [
    "AsymmetricLoss",
    "BinaryCrossEntropy",
    "FocalLoss",
    "Loss",
    "WassersteinLoss",
    "WeightedDifferenceLoss",
    "positive_weights",
]
