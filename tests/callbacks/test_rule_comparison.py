from __future__ import annotations

import pytest
import torch
from rich.console import Console

from mlemo.callbacks import rule_comparison
from mlemo.callbacks.rule_comparison import RuleComparison, scores_of_rules
from mlemo.labels import LabelSpace
from mlemo.metrics import MultiLabelMetrics
from mlemo.metrics.outputs import Outputs
from mlemo.thresholds import ExpectedF1, FixedThreshold, GlobalThreshold, PerClassThreshold, ThresholdAveraging, TopK

FITTED = [GlobalThreshold("jaccard"), ThresholdAveraging(), PerClassThreshold()]


def outputs(seed: int) -> Outputs:
    generator = torch.Generator().manual_seed(seed)
    targets = (torch.rand(60, 4, generator=generator) < 0.3).float()
    probabilities = torch.sigmoid(torch.randn(60, 4, generator=generator) + 2 * targets - 1.5)
    mask = torch.rand(60, 4, generator=generator) < 0.8
    mask[0], mask[:, 3] = False, False
    return Outputs(torch.arange(60), probabilities, targets, mask)


def test_scores_are_those_of_the_metrics() -> None:
    given = outputs(0)
    rules = [FixedThreshold(0.9), ExpectedF1(), TopK(2)]
    scores = scores_of_rules(rules, given)
    assert list(scores.index) == [rule.describe() for rule in rules]
    for rule in rules:
        metrics = MultiLabelMetrics(LabelSpace(("joy", "anger", "fear", "trust")))
        decisions = rule.predict(given.probabilities)
        metrics.update(given.probabilities, given.targets, decisions=decisions, mask=given.mask)
        expected = metrics.compute()
        for name, value in scores.loc[rule.describe()].items():
            assert value == pytest.approx(expected[str(name)].item(), abs=1e-6)


def test_rules_are_fitted_on_validation_and_scored_on_a_test_of_the_same_weights() -> None:
    comparison, val, test = RuleComparison(), outputs(1), outputs(2)
    comparison.add("val", val, "best.ckpt", TopK(2))
    found = comparison.add("test", test, "best.ckpt", TopK(2))
    for rule in FITTED:
        rule.fit(val.probabilities, val.targets, val.mask)
    expected = scores_of_rules([FixedThreshold(0.5), ExpectedF1(), *FITTED, TopK(2)], test)
    assert found.equals(expected)
    console = Console(width=120, record=True)
    console.print(comparison.table())
    row = next(line for line in console.export_text().splitlines() if "one threshold for jaccard" in line)
    for name in ("jaccard", "micro_f1", "macro_f1"):
        both = [scores.loc["one threshold for jaccard", name] for scores in comparison.scores.values()]
        assert f"{both[0]:.4f} / {both[1]:.4f}" in row


@pytest.mark.parametrize("weights", ["other.ckpt", None])
def test_rules_fitted_with_other_weights_are_left_out(weights: str | None) -> None:
    comparison = RuleComparison()
    comparison.add("val", outputs(1), "best.ckpt", None)
    found = comparison.add("test", outputs(2), weights, None)
    assert list(found.index) == [FixedThreshold(0.5).describe(), ExpectedF1().describe()]
    assert comparison.table().row_count == 2


def test_a_rule_that_one_stage_lacks_has_a_dash_there() -> None:
    comparison = RuleComparison()
    comparison.add("val", outputs(1), "best.ckpt", None)
    comparison.add("test", outputs(2), "best.ckpt", TopK(3))
    console = Console(width=120, record=True)
    console.print(comparison.table())
    assert "– / 0." in next(line for line in console.export_text().splitlines() if "3 highest labels" in line)


def test_of_many_entries_rows_at_equal_distances_are_taken_and_the_table_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    val, test = outputs(1), outputs(2)
    monkeypatch.setattr(rule_comparison, "MOST_ENTRIES", 4 * 20)

    def part(whole: Outputs) -> Outputs:
        kept = [round(59 * row / 19) for row in range(20)]
        return Outputs(*(getattr(whole, name)[kept] for name in ("index", "probabilities", "targets", "mask")))

    comparison = RuleComparison()
    comparison.add("val", val, "best.ckpt", None)
    found = comparison.add("test", test, "best.ckpt", None)
    expected = RuleComparison()
    expected.add("val", part(val), "best.ckpt", None)
    assert found.equals(expected.add("test", part(test), "best.ckpt", None))
    assert expected.notes == {}
    assert comparison.notes == {
        "val": "val: on 20 of 60 rows, at 4 labels", "test": "test: on 20 of 60 rows, at 4 labels"
    }  # fmt: skip
    assert str(comparison.table().caption).endswith(
        "; val: on 20 of 60 rows, at 4 labels; test: on 20 of 60 rows, at 4 labels"
    )
