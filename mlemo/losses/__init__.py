"""Objectives: one contract, one file a loss or a family of two or three."""

from mlemo.losses.adaptive_focal import AdaptiveFocalLoss
from mlemo.losses.asymmetric import AsymmetricLoss
from mlemo.losses.asymmetric_polynomial import AsymmetricPolynomialLoss
from mlemo.losses.base import Loss
from mlemo.losses.binary_cross_entropy import BinaryCrossEntropy, positive_weights
from mlemo.losses.composite import CompositeLoss
from mlemo.losses.controller import FixedWeights, WeightController
from mlemo.losses.distillation import DistillationLoss
from mlemo.losses.distribution_balanced import DistributionBalancedLoss
from mlemo.losses.dynamic_average import DynamicWeightAverage
from mlemo.losses.focal import FocalLoss
from mlemo.losses.gradnorm import GradNorm
from mlemo.losses.gthl_controller import GTHLController
from mlemo.losses.hybrid import HybridLoss
from mlemo.losses.jaccard_contrastive import JaccardContrastiveLoss, jaccard_contrastive
from mlemo.losses.label_correlation import LabelCorrelationLoss
from mlemo.losses.logit_adjusted import LogitAdjustedLoss
from mlemo.losses.missing_positives import HillLoss, SPLCLoss
from mlemo.losses.pairwise_auc import PairwiseAUCLoss
from mlemo.losses.pairwise_exponential import PairwiseExponentialLoss
from mlemo.losses.pairwise_ranking import PairwiseRankingLoss
from mlemo.losses.r_drop import RDropLoss
from mlemo.losses.sigmoid_f1 import SigmoidF1Loss, UnboundedF1Loss
from mlemo.losses.smooth_confusion import SmoothConfusionLoss
from mlemo.losses.soft_metrics import SoftJaccardLoss, SoftMacroF1Loss, SoftMicroF1Loss
from mlemo.losses.squared_error import MeanSquaredError
from mlemo.losses.two_way import TwoWayLoss
from mlemo.losses.wasserstein import WassersteinLoss
from mlemo.losses.weighted_difference import WeightedDifferenceLoss
from mlemo.losses.zlpr import ZLPRLoss

__all__ = [
    "AdaptiveFocalLoss",
    "AsymmetricLoss",
    "AsymmetricPolynomialLoss",
    "BinaryCrossEntropy",
    "CompositeLoss",
    "DistillationLoss",
    "DistributionBalancedLoss",
    "DynamicWeightAverage",
    "FixedWeights",
    "FocalLoss",
    "GTHLController",
    "GradNorm",
    "HillLoss",
    "HybridLoss",
    "JaccardContrastiveLoss",
    "LabelCorrelationLoss",
    "LogitAdjustedLoss",
    "Loss",
    "MeanSquaredError",
    "PairwiseAUCLoss",
    "PairwiseExponentialLoss",
    "PairwiseRankingLoss",
    "RDropLoss",
    "SPLCLoss",
    "SigmoidF1Loss",
    "SmoothConfusionLoss",
    "SoftJaccardLoss",
    "SoftMacroF1Loss",
    "SoftMicroF1Loss",
    "TwoWayLoss",
    "UnboundedF1Loss",
    "WassersteinLoss",
    "WeightController",
    "WeightedDifferenceLoss",
    "ZLPRLoss",
    "jaccard_contrastive",
    "positive_weights",
]
