from typing import ClassVar

import pytest
import torch

from mlemo.losses import BinaryCrossEntropy, CompositeLoss, HybridLoss, Loss, PairwiseRankingLoss, SoftMacroF1Loss
from mlemo.losses import WeightedDifferenceLoss as WDL
from mlemo.losses.adaptive_focal import AdaptiveFocalLoss

from .test_hybrid import cross_entropy
from .test_pairwise_ranking import ranking
from .tester import LossTester, Matrix, make_batch


def terms() -> dict[str, Loss]:
    return {"bce": BinaryCrossEntropy(), "ranking": PairwiseRankingLoss(0.7)}


class TestCompositeLoss(LossTester):
    losses: ClassVar = {
        "sum": lambda: CompositeLoss(terms()),
        "weighed": lambda: CompositeLoss(terms(), {"bce": 1.0, "ranking": 0.25}),
    }

    @staticmethod
    def single_class() -> CompositeLoss:
        return CompositeLoss(terms())

    def reference(self, loss: CompositeLoss, logits: Matrix, targets: Matrix, mask: list[list[bool]]) -> float:
        inputs = (logits, targets, mask)
        bce, rank = loss.controller.base.tolist()
        return bce * cross_entropy(*inputs) + rank * ranking(0.7, *inputs)


def test_a_term_of_the_batch_as_a_whole_has_no_samples() -> None:
    assert CompositeLoss({**terms(), "macro": SoftMacroF1Loss()}).per_sample(*make_batch()) is None


def test_terms_are_told_of_classes_labels_and_context() -> None:
    loss = CompositeLoss({"focal": AdaptiveFocalLoss(), "hybrid": HybridLoss()})
    loss.bind(5)
    assert loss.terms["focal"].alpha.tolist() == [1] * 5
    logits, targets, mask = make_batch()
    loss.observe(targets, mask)
    assert len(set(loss.terms["focal"].alpha.tolist())) > 1
    with pytest.raises(ValueError, match=r"label_affinity has shape \(2, 2\)"):
        loss(logits, targets, mask, label_affinity=torch.zeros(2, 2))


def test_weights_that_a_term_learns_stay_with_their_own_optimizer() -> None:
    wdl = WDL(weighting="softmax")
    assert CompositeLoss({"wdl": wdl, **terms()}).weight_parameters() == wdl.weight_parameters() != []


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one term, found none"):
        CompositeLoss({})
    with pytest.raises(ValueError, match="expected bce, ranking; found jaccard"):
        CompositeLoss(terms(), {"jaccard": 1.0})
    with pytest.raises(ValueError, match="expected bce, ranking; found bce"):
        CompositeLoss(terms(), {"bce": 2.0})
    with pytest.raises(ValueError, match=r"must be positive, found \{'bce': 0\.0, "):
        CompositeLoss(terms(), {"bce": 0.0, "ranking": 1.0})
