"""Rules that fix the number of labels: exactly k, and at least one."""

import pytest
import torch

from mlemo.thresholds import AtLeastOne, Calibrated, FixedThreshold, PerClassThreshold, TopK


@pytest.mark.parametrize("k", [1, 3, 5])
def test_exactly_k_are_on_and_none_off_is_higher(k):
    probabilities = torch.rand(200, 5, generator=torch.Generator().manual_seed(k)).mul(4).round() / 4  # ties
    decisions = TopK(k).predict(probabilities)
    assert (decisions.sum(1) == k).all()
    for row, on in zip(probabilities.tolist(), decisions.tolist()):
        order = sorted(range(5), key=lambda label: (-row[label], label))
        assert [label for label in range(5) if on[label]] == sorted(order[:k])


def test_more_labels_than_there_are_cannot_be_on():
    with pytest.raises(ValueError, match="k=3 labels cannot be predicted, the probabilities have 2 columns"):
        TopK(3).predict(torch.zeros(1, 2))


def test_only_empty_decisions_get_the_most_probable_label():
    probabilities = torch.rand(300, 4, generator=torch.Generator().manual_seed(0)).mul(6).round() / 6
    rule = PerClassThreshold()
    rule.load_state_dict({"thresholds": [0.95, 0.95, 0.9, 0.6]})  # the most probable label is not always the one on
    inner = rule.predict(probabilities)
    decisions = AtLeastOne(rule).predict(probabilities)
    empty = ~inner.any(1)
    assert empty.any()
    assert not empty.all()
    assert torch.equal(decisions[~empty], inner[~empty])
    for row, on in zip(probabilities[empty].tolist(), decisions[empty].tolist()):
        assert [label for label in range(4) if on[label]] == [row.index(max(row))]


def test_the_rule_inside_is_fitted_as_if_it_stood_alone():
    generator = torch.Generator().manual_seed(0)
    targets = torch.rand(60, 3, generator=generator) < 0.2
    probabilities = torch.sigmoid(torch.randn(60, 3, generator=generator) + 2 * targets - 2)
    mask = torch.rand(60, 3, generator=generator) < 0.8
    inner = PerClassThreshold()
    AtLeastOne(inner).fit(probabilities, targets, mask)
    assert torch.equal(inner.thresholds(), PerClassThreshold().fit(probabilities, targets, mask).thresholds())


def test_the_order_of_wrappers_says_which_probabilities_are_compared():
    # label 0 is overconfident, label 1 is not: raw 0.4 against 0.3, calibrated the other way round
    raw = torch.tensor([[0.4, 0.3]])
    outside, inside = (
        AtLeastOne(Calibrated(FixedThreshold(0.9), per_class=True)),
        Calibrated(AtLeastOne(FixedThreshold(0.9)), per_class=True),
    )
    temperatures = [0.2, 2.0]  # 0.4 -> 0.12, 0.3 -> 0.40
    outside.load_state_dict({"rule": {"temperatures": temperatures, "rule": {"thresholds": None}}})
    inside.load_state_dict({"temperatures": temperatures, "rule": {"rule": {"thresholds": None}}})
    assert outside.predict(raw).tolist() == [[True, False]]
    assert inside.predict(raw).tolist() == [[False, True]]
