"""Pseudo-positives, which represent the uncertainty about labels with few positives in the test set.

A label without a positive in the test set has an F1 of 0 in every resample, and one with three positives loses all of
them in 5 % of the resamples: the plain bootstrap underestimates the uncertainty. Each resample therefore adds to each
label c a random number of invented positives, half a positive on average, of which a share is right:

    right_c ~ Gamma(K q),  wrong_c ~ Gamma(K (1 − q)),  q ~ Beta(1/2, 1/2),  K = 1/2,

and a rate of the label, such as its recall TP / P, becomes (TP + right) / (P + right + wrong). For one label this is
approximately the Bayesian posterior of Goutte and Gaussier (2005, section 4) under Jeffreys's prior: the counts of a
resample are approximately Poisson distributed, those of the posterior Gamma. The share q is common to all labels of a
resample, because the scores of rare labels tend to be high or low together; with one share per label the errors of many
rare labels would cancel in the mean, and the interval would be too short. Labels with many positives are hardly
affected.
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
        right: ``(R, C)``, weight of the positives that the system finds.
        wrong: ``(R, C)``, weight of the positives that it misses.
    """

    right: Array
    wrong: Array

    def __getitem__(self, rows: slice) -> PseudoPositives:
        """Select some of the resamples."""
        return PseudoPositives(self.right[rows], self.wrong[rows])

    def only(self, labels: Array) -> PseudoPositives:
        """Set the pseudo-positives to 0 for labels where ``labels`` ``(C,)`` is ``False``."""
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
