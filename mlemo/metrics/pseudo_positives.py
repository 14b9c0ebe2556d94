"""Pseudo-positives: what a test set with few positives of a label leaves open about that label.

A label without a positive in the test set has an F1 of 0 in every resample, and one with three positives loses all of
them in 5 % of the resamples: the plain bootstrap takes what the test set does not show for known. Each resample
therefore adds to each label c a random number of invented positives, half a positive in the mean, of which a share is
right:

    right_c ~ Gamma(K q),  wrong_c ~ Gamma(K (1 − q)),  q ~ Beta(1/2, 1/2),  K = 1/2,

and a rate of the label, such as its recall TP / P, becomes (TP + right) / (P + right + wrong). For one label this is
about the Bayesian posterior of Goutte and Gaussier (2005, section 4) under Jeffreys's prior: the counts of a resample
are nearly Poisson, where the posterior has Gamma. The share q is common to all labels of a resample, because rare
labels tend to be good or bad together; with a share of its own for each label the errors of many rare labels would
cancel in the mean, and the interval would promise too much. Labels with many positives are not moved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "PseudoPositives", "draw_pseudo_positives"]

Array: TypeAlias = NDArray[Any]
#: Mean number K of pseudo-positives of a label: chosen by simulation (``docs/uncertainty.md``).
STRENGTH = 0.5


@dataclass(frozen=True)
class PseudoPositives:
    """Invented positives of each resample and label.

    Args:
        right: ``(R, C)``, the weight of those that the system finds.
        wrong: ``(R, C)``, the weight of those that it misses.
    """

    right: Array
    wrong: Array

    def __getitem__(self, rows: slice) -> PseudoPositives:
        """Those of some of the resamples."""
        return PseudoPositives(self.right[rows], self.wrong[rows])

    def only(self, labels: Array) -> PseudoPositives:
        """None for the labels where ``labels`` ``(C,)`` is ``False``."""
        return PseudoPositives(self.right * labels, self.wrong * labels)


def draw_pseudo_positives(resamples: int, labels: int, seed: int) -> PseudoPositives:
    """Draw the pseudo-positives of R resamples of C labels.

    Args:
        resamples: Number R of resamples.
        labels: Number C of labels.
        seed: Seed of the draws; two systems with the same seed get the same pseudo-positives.

    Returns:
        Weights ``(R, C)`` of right and wrong pseudo-positives.
    """
    generator = np.random.default_rng([seed, 2])
    share = generator.beta(0.5, 0.5, (resamples, 1))
    right = generator.gamma(np.broadcast_to(STRENGTH * share, (resamples, labels)))
    wrong = generator.gamma(np.broadcast_to(STRENGTH * (1 - share), (resamples, labels)))
    return PseudoPositives(right, wrong)
