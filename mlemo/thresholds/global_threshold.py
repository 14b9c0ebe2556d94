"""A decision rule with one threshold for all labels, tuned on validation data."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from mlemo.thresholds.base import PerClassRule
from mlemo.thresholds.search import best_global_threshold

__all__ = ["GlobalThreshold"]

GlobalMetric = Literal["macro_f1", "micro_f1", "jaccard", "samples_f1"]


class GlobalThreshold(PerClassRule):
    """The one threshold that maximizes a metric on the data of the fit, over every distinct score.

    t* = argmax_t metric({p_ic ≥ t}, y_ic), in O(N C log(N C)); the utility maximization of Bénédict et al., section 7.
    The threshold lies midway between two neighboring scores; of several equally good ones the nearest to 0.5 is chosen.
    The metrics have the names and conventions of :class:`mlemo.metrics.MultiLabelMetrics`.

    Args:
        metric: ``"macro_f1"``, ``"micro_f1"``, ``"jaccard"`` (mean over samples) or ``"samples_f1"``.

    Raises:
        ValueError: Unknown metric.

    Example:
        >>> rule = GlobalThreshold("micro_f1").fit(torch.tensor([[0.25, 0.75], [0.125, 0.5]]), torch.eye(2))
        >>> rule.thresholds()
        tensor([0.1875, 0.1875])
    """

    def __init__(self, metric: GlobalMetric = "macro_f1") -> None:
        if metric not in get_args(GlobalMetric):
            raise ValueError(f"metric must be one of {get_args(GlobalMetric)}, found {metric!r}")
        self.metric = metric

    def _fit_thresholds(self, probabilities: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        return torch.full((probabilities.shape[1],), best_global_threshold(probabilities, targets, mask, self.metric))

    def describe(self) -> str:
        """Describe the rule in one line, for tables of results."""
        return f"one threshold for {self.metric}"
