"""Decision rules: from probabilities to label sets.

A rule is fitted with ``fit(probabilities, targets, mask=None)`` and decides with ``predict(probabilities)``; its
objective is a named choice, because cuts that are best for one metric can be poor for another.
"""

from mlemo.thresholds.base import ThresholdRule, rule_from_dict, rule_to_dict
from mlemo.thresholds.fixed import FixedThreshold
from mlemo.thresholds.global_threshold import GlobalThreshold
from mlemo.thresholds.per_class import PerClassThreshold

__all__ = [
    "FixedThreshold",
    "GlobalThreshold",
    "PerClassThreshold",
    "ThresholdRule",
    "rule_from_dict",
    "rule_to_dict",
]
