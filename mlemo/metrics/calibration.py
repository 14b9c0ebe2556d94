"""Calibration: whether labels predicted with probability p are correct in a share p of the cases."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mlemo.thresholds.base import check_probabilities, check_targets

__all__ = ["Reliability", "expected_calibration_error", "reliability"]


@dataclass(frozen=True)
class Reliability:
    """Annotated entries of each label in bins of equal width by their probability.

    Attributes:
        counts: ``(C, bins)`` float64, number of entries.
        probability: ``(C, bins)`` float64, their mean probability; NaN in an empty bin.
        frequency: ``(C, bins)`` float64, share of positives among them; NaN in an empty bin.
    """

    counts: Tensor
    probability: Tensor
    frequency: Tensor

    def expected_calibration_error(self) -> Tensor:
        """Σ_b n_b / n |frequency_b − probability_b| per label, ``(C,)`` float64; NaN without annotated entries."""
        gaps = (self.frequency - self.probability).abs().nan_to_num()
        return (self.counts * gaps).sum(dim=1) / self.counts.sum(dim=1)


def reliability(probabilities: Tensor, targets: Tensor, mask: Tensor | None = None, bins: int = 10) -> Reliability:
    """Compute the number of entries, mean probability and share of positives of each label in bins of equal width.

    Bin b of B covers b/B ≤ p < (b + 1)/B, and the last one also p = 1.

    Args:
        probabilities: ``(N, C)`` float in [0, 1].
        targets: ``(N, C)``, 0 or 1.
        mask: ``(N, C)`` bool, ``False`` = not annotated; all annotated if left out.
        bins: Number of bins.

    Returns:
        The bins of all labels, on the CPU.

    Raises:
        ValueError: No bin, or wrong shapes, dtypes or values.
    """
    if bins < 1:
        raise ValueError(f"bins must be at least 1, found {bins}")
    probabilities = check_probabilities(probabilities)
    targets, mask = check_targets(targets, mask, tuple(probabilities.shape))
    # Sums need float64, which not every device has.
    probabilities, targets, mask = probabilities.cpu(), targets.cpu(), mask.cpu()
    bounds = torch.arange(1, bins) / bins
    places = torch.bucketize(probabilities.contiguous(), bounds, right=True)

    def total(values: Tensor) -> Tensor:
        zeros = torch.zeros(bins, probabilities.shape[1], dtype=torch.float64)
        return zeros.scatter_add_(0, places, values.double() * mask).T

    counts = total(mask)
    return Reliability(counts, total(probabilities) / counts, total(targets) / counts)


def expected_calibration_error(
    probabilities: Tensor, targets: Tensor, mask: Tensor | None = None, bins: int = 10
) -> Tensor:
    """Compute the expected calibration error per label (Guo et al. 2017), for the probability of the positive class.

    ECE_c = Σ_b n_cb / n_c |share of positives in bin b − mean probability in bin b|, bins of equal width, annotated
    entries only. torchmetrics' ``BinaryCalibrationError`` of a single label is equal except for probabilities of
    exactly 1, which have a separate bin there.

    Args:
        probabilities: ``(N, C)`` float in [0, 1].
        targets: ``(N, C)``, 0 or 1.
        mask: ``(N, C)`` bool, ``False`` = not annotated; all annotated if left out.
        bins: Number of bins.

    Returns:
        ``(C,)`` float64 within [0, 1]; NaN for a label without annotated entries.

    Raises:
        ValueError: No bin, or wrong shapes, dtypes or values.

    Example:
        >>> expected_calibration_error(torch.tensor([[0.75], [0.75], [0.25]]), torch.tensor([[1], [0], [0]]))
        tensor([0.2500], dtype=torch.float64)
    """
    return reliability(probabilities, targets, mask, bins).expected_calibration_error()
