from __future__ import annotations

from inspect import signature

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, precision_recall_curve

from mlemo.thresholds import FixedThreshold, GlobalThreshold, PerClassThreshold, ThresholdRule, cross_fitted_decisions


def sample(rows: int, labels: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(rows)
    targets = torch.rand(rows, labels, generator=generator) < 0.3
    return (torch.rand(rows, labels, generator=generator) * 0.6 + targets * 0.4).clamp(0, 1), targets


@pytest.mark.parametrize("rule", [PerClassThreshold(), PerClassThreshold(cross_fit=3), GlobalThreshold("jaccard")])
def test_each_fold_is_decided_by_the_rule_fitted_on_the_others(rule: ThresholdRule) -> None:
    scores, targets = sample(47, 4)
    found = cross_fitted_decisions(rule, scores, targets, folds=5)
    for row in range(47):
        rest = [other for other in range(47) if other % 5 != row % 5]
        fitted = type(rule)(**{name: getattr(rule, name) for name in signature(type(rule)).parameters})
        assert torch.equal(found[row], fitted.fit(scores[rest], targets[rest]).predict(scores[[row]])[0])


def test_a_row_has_no_influence_on_its_own_decision() -> None:
    scores, targets = sample(40, 3)
    before = cross_fitted_decisions(PerClassThreshold(), scores, targets)
    flipped = targets.clone()
    flipped[7] = ~flipped[7]
    assert torch.equal(cross_fitted_decisions(PerClassThreshold(), scores, flipped)[7::5], before[7::5])


def test_scores_without_information_look_good_in_sample_only() -> None:
    # the F1 of a random score is at best that of predicting every row; thresholds fitted on the same rows exceed it
    generator = torch.Generator().manual_seed(1)
    in_sample, cross_fitted, best = [], [], []
    for _ in range(40):
        scores, targets = torch.rand(60, 1, generator=generator), torch.rand(60, 1, generator=generator) < 0.3
        rule = PerClassThreshold().fit(scores, targets)
        in_sample.append(f1_score(targets, rule.predict(scores)))
        precision, recall, _ = precision_recall_curve(targets[:, 0], scores[:, 0])
        best.append(np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12)))
        cross_fitted.append(f1_score(targets, cross_fitted_decisions(PerClassThreshold(), scores, targets)))
    assert in_sample == pytest.approx(best)
    assert np.mean(cross_fitted) < 0.46 < np.mean(in_sample) - 0.02  # 2 · 0.3 / 1.3 = 0.46


def test_masks_few_rows_and_rules_that_learn_nothing() -> None:
    scores, targets = sample(20, 2)
    mask = torch.ones_like(targets)
    mask[:, 1] = torch.arange(20) % 2 == 0
    garbage = torch.where(mask, targets, ~targets)
    found = [cross_fitted_decisions(PerClassThreshold(), scores, values, mask) for values in (targets, garbage)]
    assert torch.equal(*found)
    fixed = FixedThreshold(0.5)
    assert torch.equal(cross_fitted_decisions(fixed, scores, targets), fixed.predict(scores))
    assert cross_fitted_decisions(PerClassThreshold(), scores[:3], targets[:3]).shape == (3, 2)
    with pytest.raises(ValueError, match="at least 2 folds, found 1"):
        cross_fitted_decisions(PerClassThreshold(), scores, targets, folds=1)
