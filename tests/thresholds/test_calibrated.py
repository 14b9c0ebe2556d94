"""Temperature scaling against a minimiser of the cross-entropy by loops, and what it leaves alone."""

import math

import pytest
import torch
from scipy.optimize import minimize_scalar

from mlemo.thresholds import Calibrated, ExpectedF1, FixedThreshold, GlobalThreshold, PerClassThreshold, TopK


def data(seed=0, rows=300, labels=4, sharpness=2.5):
    """Probabilities whose log-odds are the true ones times ``sharpness`` (other ones for each label)."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, labels, generator=generator) * 1.5 - 0.5
    targets = torch.rand(rows, labels, generator=generator) < logits.sigmoid()
    mask = torch.rand(rows, labels, generator=generator) < 0.8
    return (logits * sharpness * torch.linspace(0.7, 1.3, labels)).sigmoid(), targets, mask


def cross_entropy(temperature, pairs):
    total = 0.0
    for p, positive in pairs:
        logit = math.log(p / (1 - p)) / temperature
        total += math.log1p(math.exp(-logit if positive else logit))
    return total / len(pairs)


def best_temperature(pairs):
    found = minimize_scalar(
        lambda scale: cross_entropy(1 / scale, pairs), bounds=(0.05, 20), method="bounded", options={"xatol": 1e-9}
    )
    return 1 / found.x


def annotated(probabilities, targets, mask):
    return list(zip(probabilities[mask].double().tolist(), targets[mask].tolist()))


@pytest.mark.parametrize("sharpness", [0.4, 1.0, 2.5])
def test_one_temperature_minimises_the_cross_entropy(sharpness):
    probabilities, targets, mask = data(sharpness=sharpness)
    found = Calibrated(FixedThreshold()).fit(probabilities, targets, mask).temperatures()
    assert found.tolist() == pytest.approx([best_temperature(annotated(probabilities, targets, mask))], rel=1e-4)
    assert found.item() == pytest.approx(sharpness, rel=0.25)


def test_a_temperature_per_class_minimises_the_cross_entropy_of_each():
    probabilities, targets, mask = data(seed=1)
    found = Calibrated(FixedThreshold(), per_class=True).fit(probabilities, targets, mask).temperatures()
    columns = zip(probabilities.T, targets.T, mask.T)
    assert found.tolist() == pytest.approx([best_temperature(annotated(*column)) for column in columns], rel=1e-4)
    assert found[3] > found[0]


def test_calibrated_probabilities_are_the_scaled_log_odds():
    probabilities, targets, mask = data()
    for per_class in (False, True):
        rule = Calibrated(FixedThreshold(), per_class).fit(probabilities, targets, mask)
        found = rule.probabilities(probabilities)
        temperatures = rule.temperatures().expand(4).tolist()
        for row, values in zip(found[:20].tolist(), probabilities[:20].double().tolist()):
            expected = [1 / (1 + (1 / p - 1) ** (1 / t)) for p, t in zip(values, temperatures)]
            assert row == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("per_class", [False, True])
def test_calibration_and_decision_are_what_the_rule_inside_gets(per_class):
    probabilities, targets, mask = data()
    rule = Calibrated(GlobalThreshold("jaccard"), per_class).fit(probabilities, targets, mask)
    calibrated = rule.probabilities(probabilities)
    alone = GlobalThreshold("jaccard").fit(calibrated, targets, mask)
    assert torch.equal(rule.rule.thresholds(), alone.thresholds())
    assert torch.equal(rule.predict(probabilities), alone.predict(calibrated))


def test_tuned_cuts_per_class_decide_the_same_and_expected_f1_does_not():
    probabilities, targets, mask = data()
    for per_class in (False, True):
        rule = Calibrated(PerClassThreshold(), per_class).fit(probabilities, targets, mask)
        plain = PerClassThreshold().fit(probabilities, targets, mask)
        assert torch.equal(rule.predict(probabilities)[mask], plain.predict(probabilities)[mask])
    for inner, same in (
        (ExpectedF1(), False),
        (FixedThreshold(0.3), False),
        (FixedThreshold(0.5), True),
        (TopK(2), True),
    ):
        found = Calibrated(inner).fit(probabilities, targets, mask).predict(probabilities)
        assert torch.equal(found, inner.predict(probabilities)) == same


def test_probabilities_of_zero_and_one_stay_finite_and_in_order():
    scores = torch.tensor([[0.0], [1e-30], [1e-10], [0.5], [1 - 1e-6], [1.0]])
    targets = torch.tensor([[1], [0], [0], [0], [1], [0]])
    rule = Calibrated(FixedThreshold()).fit(scores, targets)
    found = rule.probabilities(scores)[:, 0]
    assert rule.temperatures() > 1
    assert (found.diff() > 0).all()
    assert found[0] > 0
    assert found[-1] < 1


def test_a_label_with_one_value_gets_the_temperature_of_all():
    probabilities, targets, mask = data()
    targets[:, 0], targets[:, 1], mask[:, 2] = False, True, False
    shared = Calibrated(FixedThreshold()).fit(probabilities, targets, mask).temperatures().item()
    found = Calibrated(FixedThreshold(), per_class=True).fit(probabilities, targets, mask).temperatures().tolist()
    assert found[:3] == [shared] * 3
    assert found[3] != shared


@pytest.mark.parametrize(
    ("scores", "targets", "expected"),
    [
        ([0.5, 0.5], [1, 0], 1.0),  # no temperature changes anything
        ([0.9, 0.2], [1, 0], 0.05),  # the sharper the better
        ([0.9, 0.2], [0, 1], 20.0),  # the flatter the better
    ],
)
@pytest.mark.parametrize("per_class", [False, True])
def test_temperatures_without_an_optimum(scores, targets, expected, per_class):
    rule = Calibrated(FixedThreshold(), per_class).fit(torch.tensor(scores)[:, None], torch.tensor(targets)[:, None])
    assert rule.temperatures().tolist() == pytest.approx([expected])


def test_the_temperatures_are_a_copy():
    rule = Calibrated(FixedThreshold()).fit(*data())
    before = rule.temperatures()
    rule.temperatures().fill_(9)
    assert torch.equal(rule.temperatures(), before)


def test_what_cannot_be_calibrated_is_refused():
    rule = Calibrated(FixedThreshold(), per_class=True)
    with pytest.raises(ValueError, match="Calibrated is not fitted: call fit"):
        rule.probabilities(torch.zeros(1, 4))
    rule.fit(*data())
    with pytest.raises(ValueError, match="fitted for 4 labels, found 3 columns"):
        rule.probabilities(torch.zeros(1, 3))
    with pytest.raises(ValueError, match="logits need a sigmoid"):
        rule.probabilities(torch.full((1, 4), 3.0))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"temperatures": [1.0]}, r"keys \['rule', 'temperatures'\], found \['temperatures'\]"),
        ({"temperatures": "1", "rule": {"thresholds": None}}, "temperatures must be a non-empty list of numbers"),
        ({"temperatures": [0.0, 1.0], "rule": {"thresholds": None}}, "temperatures must be positive, found"),
        ({"temperatures": [1.0], "rule": {}}, r"FixedThreshold has the keys \['thresholds'\], found \[\]"),
    ],
)
def test_a_foreign_state_is_refused(state, message):
    with pytest.raises(ValueError, match=message):
        Calibrated(FixedThreshold()).load_state_dict(state)
