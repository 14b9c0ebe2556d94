"""Metrics, intervals and comparisons; :mod:`mlemo.metrics.collection` defines all metrics."""

from mlemo.metrics.calibration import expected_calibration_error, reliability
from mlemo.metrics.collection import MultiLabelMetrics
from mlemo.metrics.compare import Comparison, SignedRanks, compare, holm, mean_and_sd, wilcoxon
from mlemo.metrics.intervals import bootstrap_interval, bootstrap_intervals
from mlemo.metrics.selective import risk_coverage

__all__ = [
    "Comparison",
    "MultiLabelMetrics",
    "SignedRanks",
    "bootstrap_interval",
    "bootstrap_intervals",
    "compare",
    "expected_calibration_error",
    "holm",
    "mean_and_sd",
    "reliability",
    "risk_coverage",
    "wilcoxon",
]
