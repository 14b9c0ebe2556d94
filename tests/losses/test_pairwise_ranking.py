from typing import ClassVar

import pytest
import torch

from mlemo.losses import PairwiseRankingLoss

from .tester import LossTester, Matrix, sigmoid


def ranking(margin: float, logits: Matrix, targets: Matrix, mask: list[list[bool]]) -> float:
    """The formula, by a loop over all pairs of labels."""
    total, samples = 0.0, 0
    for row_logits, row_targets, row_mask in zip(logits, targets, mask):
        known = [c for c, annotated in enumerate(row_mask) if annotated]
        samples += bool(known)
        value = weight = 0.0
        for p in known:
            for n in known:
                pair = row_targets[p] * (1 - row_targets[n])
                value += pair * max(0.0, margin - (sigmoid(row_logits[p]) - sigmoid(row_logits[n])))
                weight += pair
        total += value / weight if weight else 0.0
    return total / max(1, samples)


class TestPairwiseRankingLoss(LossTester):
    losses: ClassVar = {"defaults": PairwiseRankingLoss, "wide": lambda: PairwiseRankingLoss(1.0)}
    single_class = PairwiseRankingLoss

    def reference(self, loss: PairwiseRankingLoss, logits: Matrix, targets: Matrix, mask: list[list[bool]]) -> float:
        return ranking(loss.margin, logits, targets, mask)


def test_pairs_far_enough_apart_cost_nothing() -> None:
    targets = torch.tensor([[1.0, 0.0, 1.0]])
    assert PairwiseRankingLoss(0.5)(torch.tensor([[3.0, -3.0, 2.0]]), targets).item() == 0
    # p = 0.5 and 0.8 against n = 0.2, with a margin of 0.5: (0.2 + 0) / 2
    logits = torch.tensor([[0.5, 0.2, 0.8]]).logit()
    assert PairwiseRankingLoss(0.5)(logits, targets).item() == pytest.approx(0.1)


def test_a_sample_without_pairs_counts_as_zero() -> None:
    logits = torch.tensor([[0.0, 0.0], [0.0, 0.0], [9.0, -9.0]])
    targets = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    assert PairwiseRankingLoss(0.5)(logits, targets).item() == pytest.approx(0.5 / 3)


@pytest.mark.parametrize("margin", [0.0, 1.5])
def test_a_margin_is_a_distance_between_probabilities(margin: float) -> None:
    with pytest.raises(ValueError, match=rf"\(0, 1\], found {margin}"):
        PairwiseRankingLoss(margin)
