"""The default decision rule: thresholds per class, averaged over folds."""

from __future__ import annotations

from mlemo.thresholds.per_class import Method, Metric, PerClassThreshold

__all__ = ["CrossFittedThreshold"]


class CrossFittedThreshold(PerClassThreshold):
    """`PerClassThreshold` with the mean of the thresholds fitted on all folds but one; the default rule.

    All settings that both classes have share their defaults, so that a config file or command line that names
    ``PerClassThreshold`` in place of this default gets the defaults of its signature.

    Args:
        metric: As for `PerClassThreshold`.
        method: As for `PerClassThreshold`.
        shrinkage: As for `PerClassThreshold`.
        folds: Number of folds, at least 2.
        grid: As for `PerClassThreshold`.

    Raises:
        ValueError: As for `PerClassThreshold`.
    """

    def __init__(
        self,
        metric: Metric = "f1",
        method: Method = "exact",
        shrinkage: float = 0.0,
        folds: int = 5,
        grid: list[float] | None = None,
    ) -> None:
        super().__init__(metric, method, shrinkage, cross_fit=folds, grid=grid)
        self.folds = folds
