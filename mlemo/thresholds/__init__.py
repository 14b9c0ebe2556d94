"""Decision rules, which turn probabilities into label sets.

A rule is fitted with ``fit(probabilities, targets, mask=None)`` and decides with ``predict(probabilities)``; its
objective is chosen by name, because thresholds that are best for one metric can be poor for another.
"""

from mlemo.thresholds.at_least_one import AtLeastOne
from mlemo.thresholds.averaging import ThresholdAveraging
from mlemo.thresholds.base import ThresholdRule
from mlemo.thresholds.calibrated import Calibrated
from mlemo.thresholds.conformal import ConformalRiskControl
from mlemo.thresholds.cost_sensitive import CostSensitive
from mlemo.thresholds.cross_fit import cross_fitted_decisions
from mlemo.thresholds.cross_fitted import CrossFittedThreshold
from mlemo.thresholds.expected_f1 import ExpectedF1
from mlemo.thresholds.fixed import FixedThreshold
from mlemo.thresholds.global_threshold import GlobalThreshold
from mlemo.thresholds.per_class import PerClassThreshold
from mlemo.thresholds.storage import (
    rule_from_dict,
    rule_of_inference,
    rule_to_dict,
    rules_from_checkpoint,
    rules_to_checkpoint,
)
from mlemo.thresholds.top_k import TopK

__all__ = [
    "AtLeastOne",
    "Calibrated",
    "ConformalRiskControl",
    "CostSensitive",
    "CrossFittedThreshold",
    "ExpectedF1",
    "FixedThreshold",
    "GlobalThreshold",
    "PerClassThreshold",
    "ThresholdAveraging",
    "ThresholdRule",
    "TopK",
    "cross_fitted_decisions",
    "rule_from_dict",
    "rule_of_inference",
    "rule_to_dict",
    "rules_from_checkpoint",
    "rules_to_checkpoint",
]
