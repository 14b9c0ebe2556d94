"""One threshold for all labels: the mean of the best thresholds of the samples."""

from __future__ import annotations

import torch
from torch import Tensor

from mlemo.thresholds.base import PerClassRule
from mlemo.thresholds.search import best_place, candidate_thresholds, f1, rank

__all__ = ["ThresholdAveraging"]


class ThresholdAveraging(PerClassRule):
    """Average over the samples the score that, used as a threshold, gives the sample its best F1.

    t* = mean_i t_i, t_i = argmax_{t ∈ {p_i1, …, p_iC}} F1({c: p_ic ≥ t}, y_i): the threshold averaging of Bénédict et
    al. (2022, section 7, after Decubber et al. 2018). They fit it on the training set; here it is fitted, like every
    rule, on the data passed to :meth:`fit`. It maximizes no metric of all samples together, so :class:`GlobalThreshold`
    with ``"samples_f1"`` is never worse on the data of the fit.

    Not specified by the paper: among a sample's equally good scores the one nearest to 0.5 is used, and of two equally
    near ones the higher; a sample without positives, whose F1 is 0 at each of its scores, is ignored. Without any
    positive the threshold lies midway between the highest score and 1, so that nothing is predicted.

    O(N C log C).

    Example:
        >>> scores = torch.tensor([[0.75, 0.25, 0.5], [0.25, 0.125, 0.5]])
        >>> ThresholdAveraging().fit(scores, torch.tensor([[1, 0, 1], [1, 0, 1]])).thresholds()
        tensor([0.3750, 0.3750, 0.3750])
    """

    def _fit_thresholds(self, probabilities: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        ranking = rank(probabilities, targets, mask)
        counted = ranking.positives[:, 0] > 0
        # A score predicts itself and all above it: place k has the k-th score as its threshold, place 0 has none.
        nothing = torch.full((len(probabilities), 1), torch.nan)
        unreachable = candidate_thresholds(ranking.scores)[:, 1:].isnan()
        thresholds = torch.cat([nothing, ranking.scores.masked_fill(unreachable, torch.nan)], dim=1)[counted]
        if counted.any():
            hits, positives = ranking.hits[counted], ranking.positives[counted]
            places = best_place(f1(hits, ranking.predicted, positives, empty=1.0), thresholds)
            threshold = thresholds.gather(1, places[:, None]).double().mean()
        else:
            threshold = candidate_thresholds(ranking.scores[:, :1].amax(dim=0, keepdim=True))[0, 0]
        return threshold.float().expand(probabilities.shape[1]).clone()

    def describe(self) -> str:
        """Describe the rule in one line, for tables of results."""
        return "mean of the samples' best thresholds"
