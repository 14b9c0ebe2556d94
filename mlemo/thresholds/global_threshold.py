"""One threshold for all labels, tuned on validation."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from mlemo.thresholds.base import CutRule
from mlemo.thresholds.search import global_cut

__all__ = ["GlobalThreshold"]

GlobalMetric = Literal["macro_f1", "micro_f1", "jaccard", "samples_f1"]


class GlobalThreshold(CutRule):
    """The one threshold that maximises a metric on the data of the fit, over every distinct score.

    t* = argmax_t metric({p_ic ≥ t}, y_ic), in O(N C log(N C)); the utility maximisation of Bénédict et al., section 7.
    The cut lies midway between two neighbouring scores; of several that are equally good the one nearest to 0.5 is
    taken. The metrics have the names and conventions of :class:`mlemo.metrics.MultiLabelMetrics`.

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

    def _cuts(self, probabilities: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        return torch.full((probabilities.shape[1],), global_cut(probabilities, targets, mask, self.metric))

    def describe(self) -> str:
        """One line for tables of results."""
        return f"one threshold for {self.metric}"
