"""The contract of every threshold rule: input, decisions, state, description, building from YAML."""

import jsonargparse
import pytest
import torch

from mlemo.thresholds import (
    AtLeastOne,
    Calibrated,
    ConformalRiskControl,
    CostSensitive,
    ExpectedF1,
    FixedThreshold,
    GlobalThreshold,
    PerClassThreshold,
    ThresholdAveraging,
    ThresholdRule,
    TopK,
    rule_from_dict,
    rule_of_inference,
    rule_to_dict,
    rules_from_checkpoint,
    rules_to_checkpoint,
)
from mlemo.thresholds.base import PerClassRule
from mlemo.thresholds.calibration_maps import FEWEST

RULES = [
    FixedThreshold(0.3),
    GlobalThreshold("macro_f1"),
    GlobalThreshold("micro_f1"),
    GlobalThreshold("jaccard"),
    GlobalThreshold("samples_f1"),
    PerClassThreshold(),
    PerClassThreshold("micro_f1"),
    PerClassThreshold("jaccard"),
    PerClassThreshold(method="grid", grid=[0.2, 0.4, 0.9]),
    PerClassThreshold("jaccard", method="grid"),
    PerClassThreshold(shrinkage=0.3, cross_fit=3),
    ThresholdAveraging(),
    ExpectedF1(),
    TopK(1),
    AtLeastOne(PerClassThreshold()),
    AtLeastOne(FixedThreshold(0.9)),
    Calibrated(GlobalThreshold("jaccard")),
    Calibrated(FixedThreshold(0.4), per_class=True),
    AtLeastOne(Calibrated(ExpectedF1(), per_class=True)),
    Calibrated(FixedThreshold(0.4), method="platt"),
    Calibrated(FixedThreshold(0.4), per_class=True, method="beta"),
    Calibrated(PerClassThreshold(), per_class=True, method="isotonic"),
    CostSensitive(false_negative=2.0),
    CostSensitive([1.0, 2.0, 1.0, 0.5], 2.0, method="empirical"),
    ConformalRiskControl(0.2),
]
WITHOUT_FIT = ["fixed threshold 0.3", "largest expected f1", "highest label"]
WITHOUT_FIT += ["fixed threshold 0.9, at least one label"]
WITHOUT_FIT += ["Bayes threshold for costs 1 (false positive) and 2 (false negative)"]


def parametrised(rules: list[ThresholdRule]):
    return pytest.mark.parametrize("template", rules, ids=[rule.describe() for rule in rules])


every_rule = parametrised(RULES)
every_label_threshold_rule = parametrised([rule for rule in RULES if isinstance(rule, PerClassRule)])
every_fitted_rule = parametrised([rule for rule in RULES if rule.describe() not in WITHOUT_FIT])
every_rule_without_folds = parametrised([rule for rule in RULES if not getattr(rule, "cross_fit", 0)])  # by row number


def fresh(template: ThresholdRule) -> ThresholdRule:
    return rule_from_dict(rule_to_dict(template))


def data(rows=40, labels=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    targets = torch.rand(rows, labels, generator=generator) < 0.3
    return torch.sigmoid(torch.randn(rows, labels, generator=generator) + targets), targets


def numbers(state):
    """Every number of a state, in order."""
    if isinstance(state, dict):
        return [number for key in sorted(state) for number in numbers(state[key])]
    return [number for item in state for number in numbers(item)] if isinstance(state, list) else [state]


class OddThreshold(PerClassRule):
    """A user's own rule, outside mlemo."""

    def __init__(self, level: float = 0.25) -> None:
        self.level = level

    def _fit_thresholds(self, probabilities, targets, mask):
        return torch.full((probabilities.shape[1],), self.level)

    def describe(self):
        return "odd"


@every_rule
def test_each_row_is_decided_by_itself_as_bool(template):
    rule = fresh(template)
    probabilities, targets = data()
    assert rule.fit(probabilities, targets) is rule
    decisions = rule.predict(probabilities)
    assert decisions.shape == (40, 4)
    assert decisions.dtype == torch.bool
    assert decisions.any()
    assert not decisions.all()
    assert torch.equal(decisions, torch.cat([rule.predict(row) for row in probabilities.split(1)]))
    assert rule.predict(torch.empty(0, 4)).shape == (0, 4)


@every_rule
@pytest.mark.parametrize("constant", [0.0, 0.25, 1.0])
def test_constant_scores_are_decided_alike_in_every_row(template, constant):
    probabilities, targets = data()
    probabilities = torch.full_like(probabilities, constant)
    decisions = fresh(template).fit(probabilities, targets).predict(probabilities)
    assert (decisions == decisions[0]).all()


@every_rule
@pytest.mark.parametrize("positive", [False, True])
def test_one_sample_of_one_label(template, positive):
    if getattr(template, "cross_fit", 0) or isinstance(getattr(template, "false_positive", 0), list):
        return  # needs a row for each fold, or as many labels as there are costs
    rule = fresh(template).fit(torch.tensor([[0.4]]), torch.tensor([[positive]]))
    assert rule.predict(torch.tensor([[0.0], [0.4], [1.0]])).shape == (3, 1)
    assert rule.predict(torch.tensor([[1.0]])).all()


@every_rule
@pytest.mark.parametrize("value", [0, 1])
def test_labels_without_positives_negatives_or_annotation_are_decided(template, value):
    probabilities, targets = data()
    targets[:, 0] = bool(value)
    mask = torch.ones_like(targets)
    mask[:, 1] = False
    rule = fresh(template).fit(probabilities, targets, mask)
    assert rule.predict(probabilities).shape == (40, 4)
    rule = fresh(template).fit(probabilities, torch.full_like(targets, value))
    assert rule.predict(probabilities).shape == (40, 4)


@every_label_threshold_rule
def test_a_decision_is_probability_at_least_threshold(template):
    rule = fresh(template)
    probabilities, targets = data()
    assert rule.fit(probabilities, targets) is rule
    cuts = rule.thresholds()
    assert cuts.shape == (4,)
    assert cuts.dtype == torch.float32
    probabilities[:3] = cuts.clamp(max=1)  # exactly at the cut is on
    assert torch.equal(rule.predict(probabilities), torch.stack([row >= cuts for row in probabilities]))


@every_rule
def test_rules_that_decide_otherwise_have_no_thresholds(template):
    assert (fresh(template).fit(*data()).thresholds() is None) != isinstance(template, PerClassRule)


@every_label_threshold_rule
def test_thresholds_are_a_copy(template):
    rule = fresh(template).fit(*data())
    before = rule.thresholds().clone()
    rule.thresholds().fill_(0.99)
    assert torch.equal(rule.thresholds(), before)


@every_rule
def test_targets_may_be_bool_integer_or_float(template):
    probabilities, targets = data()
    states = [
        fresh(template).fit(probabilities, targets.to(kind)).state_dict()
        for kind in (torch.bool, torch.long, torch.float)
    ]
    assert states[0] == states[1] == states[2]


@every_rule
def test_probabilities_may_be_half_or_double(template):
    probabilities, targets = data()
    for kind in (torch.bfloat16, torch.float16, torch.float64):
        rounded = probabilities.to(kind)
        rule = fresh(template).fit(rounded, targets)
        assert rule.state_dict() == fresh(template).fit(rounded.float(), targets).state_dict()
        assert torch.equal(rule.predict(rounded), rule.predict(rounded.float()))


@every_rule
def test_fit_leaves_its_input_alone_and_needs_no_gradient(template):
    probabilities, targets = data()
    mask = torch.rand(probabilities.shape) < 0.8
    copies = probabilities.clone(), targets.clone(), mask.clone()
    rule = fresh(template).fit(probabilities.requires_grad_(), targets, mask)
    assert not rule.predict(probabilities).requires_grad
    assert torch.equal(probabilities, copies[0])
    assert torch.equal(targets, copies[1])
    assert torch.equal(mask, copies[2])


@every_rule
def test_masked_entries_never_count(template):
    probabilities, targets = data(rows=60)
    mask = torch.rand(probabilities.shape, generator=torch.Generator().manual_seed(1)) < 0.7
    other = torch.rand(probabilities.shape, generator=torch.Generator().manual_seed(2))
    changed = torch.where(mask, probabilities, other)
    changed_targets = torch.where(mask, targets.float(), torch.nan)
    expected = fresh(template).fit(probabilities, targets, mask).state_dict()
    assert fresh(template).fit(changed, changed_targets, mask).state_dict() == expected


@every_rule_without_folds
def test_rows_without_annotation_change_nothing(template):
    probabilities, targets = data()
    mask = torch.ones_like(targets)
    expected = fresh(template).fit(probabilities, targets).state_dict()
    extended = torch.cat([probabilities, probabilities]), torch.cat([targets, ~targets]), torch.cat([mask, ~mask])
    assert numbers(fresh(template).fit(*extended).state_dict()) == pytest.approx(numbers(expected), abs=1e-7)


@every_rule_without_folds
@pytest.mark.parametrize("case", ["shuffled", "doubled"])
def test_neither_the_order_nor_a_copy_of_all_rows_matters(template, case):
    with_counts = isinstance(template, ConformalRiskControl) or getattr(template, "method", "") in FEWEST
    if case == "doubled" and with_counts and getattr(template, "method", "") != "temperature":
        return  # more rows are more certain
    probabilities, targets = data(rows=50)
    probabilities = (probabilities * 20).round() / 20  # with ties
    expected = fresh(template).fit(probabilities, targets).state_dict()
    rows = (
        torch.randperm(50, generator=torch.Generator().manual_seed(3)) if case == "shuffled" else torch.arange(100) % 50
    )
    found = fresh(template).fit(probabilities[rows], targets[rows]).state_dict()
    assert numbers(found) == pytest.approx(numbers(expected), abs=1e-7)


@every_rule
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, y, m: (p[0], y, m), r"shape \(N, C\), found torch.float32 of shape \(4,\)"),
        (lambda p, y, m: (p.long(), y, m), "floating tensor"),
        (lambda p, y, m: (p.masked_fill(p == p[2, 1], torch.nan), y, m), "1 NaN, the first in row 2, column 1"),
        (lambda p, y, m: (p * 4 - 2, y, m), r"must lie in \[0, 1\], found -.* logits need a sigmoid"),
        (lambda p, y, m: (p, y[:-1], m), r"targets have shape \(39, 4\), the probabilities \(40, 4\)"),
        (lambda p, y, m: (p, y * 2.0, m), r"targets must be 0 or 1, found 2.0 in row"),
        (
            lambda p, y, m: (p, torch.where(m, torch.nan, 0.0), m),
            "must be 0 or 1, found nan in row 0, column 0",
        ),
        (lambda p, y, m: (p, y, m.float()), "mask must be bool"),
        (lambda p, y, m: (p, y, m[:, :2]), r"mask must be bool of shape \(40, 4\), found torch.bool of \(40, 2\)"),
        (lambda p, y, m: (p, y, ~m), "needs annotated entries"),
        (lambda p, y, m: (p[:0], y[:0], m[:0]), "needs annotated entries"),
    ],
)
def test_wrong_input_is_refused_with_what_was_found(template, change, message):
    probabilities, targets = data()
    with pytest.raises(ValueError, match=message):
        fresh(template).fit(*change(probabilities, targets, torch.ones_like(targets)))


@every_rule
def test_predict_checks_its_input(template):
    rule = fresh(template).fit(*data())
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        rule.predict(torch.full((2, 4), 1.5))


@parametrised(
    [FixedThreshold(0.3), GlobalThreshold(), AtLeastOne(PerClassThreshold()), Calibrated(ThresholdAveraging())]
)
def test_a_rule_fitted_for_other_labels_says_so(template):
    with pytest.raises(ValueError, match="fitted for 4 labels, found 3 columns"):
        fresh(template).fit(*data()).predict(torch.zeros(2, 3))


@every_fitted_rule
def test_an_unfitted_rule_says_so(template):
    with pytest.raises(ValueError, match="is not fitted: call fit"):
        fresh(template).predict(torch.zeros(2, 4))
    if isinstance(template, PerClassRule):
        with pytest.raises(ValueError, match="is not fitted: call fit"):
            fresh(template).thresholds()


def test_a_fixed_threshold_needs_no_fit():
    rule = FixedThreshold(0.3)
    assert rule.predict(torch.tensor([[0.3, 0.29]])).tolist() == [[True, False]]
    assert torch.equal(rule.thresholds(), torch.tensor([0.3]))


@every_rule
def test_a_rule_survives_a_safe_checkpoint(template, tmp_path):
    probabilities, targets = data()
    rule = fresh(template).fit(probabilities, targets)
    torch.save({"thresholds": rule_to_dict(rule)}, tmp_path / "checkpoint.pt")
    stored = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["thresholds"]
    restored = rule_from_dict(stored)
    assert type(restored) is type(rule)
    assert restored.describe() == rule.describe()
    assert rule_to_dict(restored) == rule_to_dict(rule)
    assert stored["class_path"] == f"mlemo.thresholds.{type(rule).__name__}"
    assert torch.equal(restored.predict(probabilities), rule.predict(probabilities))


def test_each_inference_has_a_rule_in_the_checkpoint(tmp_path, recwarn):
    rules = {"one": FixedThreshold(0.3), "two": FixedThreshold(0.6)}
    torch.save(rules_to_checkpoint(rules), tmp_path / "checkpoint.pt")
    checkpoint = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert checkpoint["thresholds"] == rule_to_dict(rules["one"])
    stored = rules_from_checkpoint(checkpoint, "three")
    assert {name: rule.threshold for name, rule in stored.items()} == {"one": 0.3, "two": 0.6}
    old = rules_from_checkpoint({"thresholds": rule_to_dict(rules["two"])}, "three")  # of mlemo 0.1.0
    assert {name: rule.threshold for name, rule in old.items()} == {"three": 0.6}
    assert rules_from_checkpoint({}, "three") == {}
    assert rule_of_inference(stored, "two") is stored["two"]
    assert rule_of_inference(stored, "three") is stored["one"]  # nothing was fitted: it is the same everywhere
    assert not recwarn
    fitted = {"one": PerClassThreshold().fit(*data())}
    with pytest.warns(UserWarning, match="fitted under the inference 'one', and the model predicts under 'two'"):
        assert rule_of_inference(fitted, "two") is fitted["one"]


@every_rule
def test_an_unfitted_rule_is_stored_unfitted(template):
    assert set(numbers(rule_to_dict(fresh(template))["state"])) <= {None}


def test_a_rule_in_a_rule_is_stored_as_in_yaml():
    stored = rule_to_dict(AtLeastOne(Calibrated(FixedThreshold(0.3))))
    assert stored == {
        "class_path": "mlemo.thresholds.AtLeastOne",
        "init_args": {
            "rule": {
                "class_path": "mlemo.thresholds.Calibrated",
                "init_args": {
                    "rule": {"class_path": "mlemo.thresholds.FixedThreshold", "init_args": {"threshold": 0.3}},
                    "per_class": False,
                    "method": "temperature",
                },
            }
        },
        "state": {"rule": {"temperatures": None, "rule": {"thresholds": None}}},
    }
    stored["init_args"]["rule"]["class_path"] = "collections.OrderedDict"
    with pytest.raises(ValueError, match=r"'collections\.OrderedDict' is not a ThresholdRule"):
        rule_from_dict(stored)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, r"keys \['thresholds'\], found \[\]"),
        ({"thresholds": [0.5], "other": 1}, r"found \['other', 'thresholds'\]"),
        ({"thresholds": []}, "non-empty list of numbers"),
        ({"thresholds": "0.5"}, "non-empty list of numbers, found '0.5'"),
        ({"thresholds": [0.5, float("nan")]}, "finite and at least 0"),
        ({"thresholds": [-0.5]}, "finite and at least 0"),
    ],
)
def test_a_foreign_state_is_refused(state, message):
    with pytest.raises(ValueError, match=message):
        GlobalThreshold().load_state_dict(state)


@pytest.mark.parametrize("rule", [ExpectedF1(), TopK(2)])
def test_a_rule_without_state_refuses_one(rule):
    with pytest.raises(ValueError, match=rf"{type(rule).__name__} has the keys \[\], found \['thresholds'\]"):
        rule.load_state_dict({"thresholds": [0.5]})


def test_the_rule_of_a_user_is_stored_by_its_own_path():
    rule = OddThreshold(level=0.125).fit(*data())
    stored = rule_to_dict(rule)
    assert stored["class_path"] == f"{__name__}.OddThreshold"
    assert stored["init_args"] == {"level": 0.125}
    restored = rule_from_dict(stored)
    assert isinstance(restored, OddThreshold)
    assert restored.thresholds().tolist() == [0.125] * 4


def test_what_cannot_be_stored_is_refused():
    class Hidden(OddThreshold):
        pass

    class Forgetful(OddThreshold):
        def __init__(self, size: int = 1) -> None:
            super().__init__()

    with pytest.raises(ValueError, match="inside a function"):
        rule_to_dict(Hidden())
    Forgetful.__qualname__ = "Forgetful"
    with pytest.raises(ValueError, match="does not keep its argument 'size'"):
        rule_to_dict(Forgetful())
    with pytest.raises(ValueError, match=r"OddThreshold.level must be plain .* found tensor"):
        rule_to_dict(OddThreshold(level=torch.tensor(0.5)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class_path": "collections.OrderedDict"}, "'collections.OrderedDict' is not a ThresholdRule"),
        ({"class_path": "os.path.join"}, "os.path has no class 'join'"),
        ({"class_path": "mlemo.thresholds.NoSuchRule"}, "mlemo.thresholds has no class 'NoSuchRule'"),
        ({"class_path": "no_such_package.Rule"}, "is of a module that is not imported; .*--trust no_such_package"),
        ({"class_path": "Rule"}, "is of a module that is not imported$"),
        ({"init_args": {"treshold": 0.5}}, r"cannot be built from \{'treshold': 0.5\}"),
        ({"init_args": {"threshold": 2.0}}, r"threshold must lie in \[0, 1\], found 2.0"),
        ({"state": {"cuts": [0.5]}}, r"keys \['thresholds'\], found \['cuts'\]"),
    ],
)
def test_a_wrong_stored_rule_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        rule_from_dict(rule_to_dict(FixedThreshold()) | change)


def test_a_stored_rule_must_be_complete():
    with pytest.raises(ValueError, match=r"\['init_args', 'state'\] missing"):
        rule_from_dict({"class_path": "mlemo.thresholds.FixedThreshold"})


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: FixedThreshold(1.2), "threshold must lie in"),
        (lambda: FixedThreshold(float("nan")), "threshold must lie in"),
        (lambda: GlobalThreshold("f1"), r"metric must be one of \('macro_f1', 'micro_f1', 'jaccard', 'samples_f1'\)"),
        (
            lambda: PerClassThreshold("macro_f1"),
            r"one of \('f1', 'micro_f1', 'jaccard'\), found 'macro_f1'",
        ),
        (lambda: PerClassThreshold(method="fast"), "method must be one of"),
        (lambda: PerClassThreshold(shrinkage=1.5), "shrinkage must lie in"),
        (lambda: PerClassThreshold(cross_fit=1), "cross_fit must be 0"),
        (lambda: PerClassThreshold(cross_fit=-2), "cross_fit must be 0"),
        (lambda: PerClassThreshold(grid=[0.5]), "needs method='grid'"),
        (lambda: PerClassThreshold(method="grid", grid=[]), "grid must hold values"),
        (lambda: PerClassThreshold(method="grid", grid=[0.5, 1.5]), "grid must hold values"),
        (lambda: TopK(0), "k must be at least 1, found 0"),
        (lambda: Calibrated(TopK(1), method="sigmoid"), r"method must be one of \('temperature', 'platt', .*'sigmoid'"),
        (lambda: CostSensitive(method="best"), r"method must be one of \('bayes', 'empirical'\), found 'best'"),
        (lambda: CostSensitive(0.0), "costs must be positive, found 0.0 and 1.0"),
        (lambda: CostSensitive(1.0, [1.0, -2.0]), r"costs must be positive, found 1.0 and \[1.0, -2.0\]"),
        (lambda: CostSensitive([]), r"costs must be positive, found \[\] and 1.0"),
        (lambda: CostSensitive(float("inf")), "costs must be positive, found inf and 1.0"),
        (lambda: CostSensitive([1.0, 2.0], [1.0] * 3), "same number of labels, found 2 and 3"),
        (lambda: ConformalRiskControl(0.0), "alpha must lie between 0 and 1, found 0.0"),
        (lambda: ConformalRiskControl(1), "alpha must lie between 0 and 1, found 1"),
    ],
)
def test_wrong_settings_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_describe_names_rule_and_objective():
    assert FixedThreshold().describe() == "fixed threshold 0.5"
    assert GlobalThreshold("jaccard").describe() == "one threshold for jaccard"
    assert PerClassThreshold("micro_f1").describe() == "a threshold per class for micro_f1 (exact)"
    rule = PerClassThreshold(method="grid", shrinkage=0.25, cross_fit=5)
    assert rule.describe() == "a threshold per class for f1 (grid, shrinkage 0.25, 5 folds)"
    assert ThresholdAveraging().describe() == "mean of the samples' best thresholds"
    assert TopK(3).describe() == "3 highest labels"
    rule = AtLeastOne(Calibrated(ExpectedF1()))
    assert rule.describe() == "largest expected f1, calibrated, at least one label"
    rule = Calibrated(FixedThreshold(), per_class=True)
    assert rule.describe() == "fixed threshold 0.5, calibrated per class"
    rule = Calibrated(FixedThreshold(), per_class=True, method="beta")
    assert rule.describe() == "fixed threshold 0.5, calibrated by beta calibration per class"
    rule = CostSensitive([1.0, 2.5], 3, method="empirical")
    assert rule.describe() == "a threshold per class for costs [1, 2.5] (false positive) and 3 (false negative)"
    assert ConformalRiskControl(0.05).describe() == "false-negative rate of at most 0.05 (conformal)"


@pytest.mark.parametrize(
    ("name", "init_args", "expected"),
    [
        ("FixedThreshold", {"threshold": 0.05}, FixedThreshold(0.05)),
        ("mlemo.thresholds.GlobalThreshold", {"metric": "jaccard"}, GlobalThreshold("jaccard")),
        (
            "mlemo.thresholds.PerClassThreshold",
            {"metric": "jaccard", "method": "grid", "shrinkage": 0.5, "cross_fit": 4, "grid": [0.1, 0.5]},
            PerClassThreshold("jaccard", "grid", 0.5, 4, [0.1, 0.5]),
        ),
        ("ExpectedF1", {}, ExpectedF1()),
        ("TopK", {"k": 2}, TopK(2)),
        (
            "AtLeastOne",
            {
                "rule": {
                    "class_path": "Calibrated",
                    "init_args": {"rule": {"class_path": "ThresholdAveraging"}, "per_class": True},
                }
            },
            AtLeastOne(Calibrated(ThresholdAveraging(), per_class=True)),
        ),
        (
            "Calibrated",
            {
                "rule": {"class_path": "CostSensitive", "init_args": {"false_negative": [1.0, 5.0]}},
                "per_class": True,
                "method": "beta",
            },
            Calibrated(CostSensitive(false_negative=[1.0, 5.0]), per_class=True, method="beta"),
        ),
        ("ConformalRiskControl", {"alpha": 0.2}, ConformalRiskControl(0.2)),
    ],
)
def test_a_rule_can_be_built_from_yaml(name, init_args, expected):
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--rule", type=ThresholdRule)
    config = parser.parse_object({"rule": {"class_path": name, "init_args": init_args}})
    rule = parser.instantiate(config).rule
    assert rule_to_dict(rule) == rule_to_dict(expected)


def test_a_rule_in_a_rule_can_be_given_on_the_command_line():
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--rule", type=ThresholdRule)
    config = parser.parse_args(["--rule=AtLeastOne", "--rule.rule=GlobalThreshold", "--rule.rule.metric=jaccard"])
    expected = AtLeastOne(GlobalThreshold("jaccard"))
    assert rule_to_dict(parser.instantiate(config).rule) == rule_to_dict(expected)


def test_yaml_with_an_unknown_metric_is_refused():
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--rule", type=ThresholdRule)
    with pytest.raises(jsonargparse.ArgumentError, match="acuracy"):
        parser.parse_object({"rule": {"class_path": "GlobalThreshold", "init_args": {"metric": "acuracy"}}})


def test_rules_without_cuts_have_no_thresholds():
    class Everything(ThresholdRule):
        def _fit(self, probabilities, targets, mask):
            pass

        def _predict(self, probabilities):
            return torch.ones_like(probabilities, dtype=torch.bool)

        def state_dict(self):
            return {}

        def load_state_dict(self, state):
            pass

        def describe(self):
            return "everything"

    rule = Everything().fit(*data())
    assert rule.thresholds() is None
    assert rule.predict(torch.zeros(1, 2)).all()
