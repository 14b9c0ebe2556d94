"""Confusion between labels and the most confident mistakes, compared with plain loops."""

from __future__ import annotations

from math import isnan
from pathlib import Path

import pandas as pd
import pytest
import torch

from mlemo.inference import Classified
from mlemo.labels import LabelSpace
from mlemo.reporting.explanations.confusion import ALONE, confusion, confusion_figure
from mlemo.reporting.explanations.decisions import decisions, thresholds_of
from mlemo.reporting.explanations.errors import confident_mistakes
from mlemo.runs.predictions import Predictions
from mlemo.thresholds import AtLeastOne, Calibrated, ExpectedF1, FixedThreshold, PerClassThreshold

NAMES = "abcde"


def predictions(rows: int = 80, labels: int = 5) -> Predictions:
    draw = torch.Generator().manual_seed(rows)
    probabilities = torch.rand(rows, labels, generator=draw)
    gold = torch.rand(rows, labels, generator=draw) < 0.2 + 0.6 * probabilities
    mask = torch.rand(rows, labels, generator=draw) < 0.8
    space = LabelSpace(tuple(NAMES) if labels == len(NAMES) else tuple(f"label {n}" for n in range(labels)))
    ids = [f"id-{row}" for row in range(rows)]
    return Predictions(Path("p.csv"), space, ids, gold & mask, mask, probabilities > 0.5, probabilities)


def test_pairs_are_counted_in_the_texts_in_which_the_first_is_missed() -> None:
    found = predictions()
    counts: dict[tuple[str, str], int] = {}
    missed = dict.fromkeys(NAMES, 0)
    for gold, decided, mask in zip(found.gold.tolist(), found.decided.tolist(), found.mask.tolist()):
        cells = list(zip(NAMES, gold, decided, mask))
        wrong = [name for name, on, yes, known in cells if known and yes and not on]
        for name, on, yes, known in cells:
            if known and on and not yes:
                missed[name] += 1
                for other in wrong or [ALONE]:
                    counts[name, other] = counts.get((name, other), 0) + 1
    result = confusion(found)
    table = result.table()
    assert {(line.gold, line.predicted): line.texts for line in table.itertuples()} == counts
    assert dict(zip(NAMES, result.missed.tolist())) == missed
    for line in table.to_dict("records"):
        assert line["share"] == pytest.approx(line["texts"] / missed[line["gold"]])
    assert table["texts"].is_monotonic_decreasing


def test_the_picture_has_the_shares_in_the_order_of_its_labels() -> None:
    result = confusion(predictions())
    axes = confusion_figure(result, [name.upper() for name in NAMES]).axes[0]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    columns = [label.get_text() for label in axes.get_xticklabels()]
    drawn = axes.get_images()[0].get_array()
    assert drawn is not None
    names = [*NAMES, ALONE]
    for i, row in enumerate(rows):
        a = NAMES.index(row[0].lower())
        assert row == f"{NAMES[a].upper()} ({result.missed[a]})"
        for j, column in enumerate(columns):
            b = names.index(column if column == ALONE else column.lower())
            assert float(drawn[i, j]) == pytest.approx(float(result.shares[a, b]))
    assert columns[-1] == ALONE


def test_a_label_that_is_never_missed_has_no_share_and_many_labels_are_capped() -> None:
    found = predictions()
    found.decided[:, 2] = True
    shares = confusion(found).shares
    assert all(map(isnan, shares[2].tolist()))
    confusion_figure(confusion(found), list(NAMES))
    many = confusion(predictions(20, labels=450))
    assert (len(many.names), len(many.drawn), many.of) == (400, 40, 450)
    title = confusion_figure(many, list(many.names)).axes[0].get_title()
    assert title == "40 of 450 labels, those with the most gold positives"


def test_the_most_confident_mistakes_are_those_with_the_extreme_probabilities() -> None:
    found = predictions()
    table = confident_mistakes(found, [f"text {row}" for row in range(80)], each=4, thresholds=torch.full((5,), 0.5))
    expected = []
    for column, label in enumerate(NAMES):
        cells = pd.DataFrame(
            {
                "gold": found.gold[:, column],
                "decided": found.decided[:, column],
                "known": found.mask[:, column],
                "p": found.probabilities[:, column],
            }
        ).query("known and gold != decided")
        false_positives, false_negatives = cells[cells["decided"]], cells[~cells["decided"]]
        expected += [(label, "FP", len(false_positives), row) for row in false_positives["p"].nlargest(4).index]
        expected += [(label, "FN", len(false_negatives), row) for row in false_negatives["p"].nsmallest(4).index]
    lines = table.to_dict("records")
    assert {(line["label"], line["case"], line["of"], int(line["id"][3:])) for line in lines} == set(expected)
    assert len(lines) == len(expected)
    distances = (table["probability"] - 0.5).abs()
    assert distances.is_monotonic_decreasing
    assert list(table.columns) == [
        "label", "case", "of", "probability", "threshold", "id", "text", "gold", "predicted"
    ]  # fmt: skip
    assert (table["text"] == "text " + table["id"].str.removeprefix("id-")).all()


# thresholds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule",
    [
        FixedThreshold(0.3),
        PerClassThreshold("f1"),
        Calibrated(PerClassThreshold("f1")),
        Calibrated(FixedThreshold(0.4)),
    ],
)
def test_probabilities_at_or_above_the_thresholds_are_decided(rule: object) -> None:
    found = predictions()
    rule.fit(found.probabilities, found.gold, found.mask)  # type: ignore[attr-defined]
    thresholds = thresholds_of(rule, 5)  # type: ignore[arg-type]
    assert thresholds is not None
    distances = (found.probabilities - thresholds).abs()
    decided = rule.predict(found.probabilities)
    assert torch.equal((found.probabilities >= thresholds)[distances > 1e-5], decided[distances > 1e-5])
    wrapped = thresholds_of(AtLeastOne(rule), 5)
    assert wrapped is not None
    assert torch.equal(wrapped, thresholds)


def test_a_rule_without_thresholds_has_none_and_probabilities_order_the_labels() -> None:
    assert thresholds_of(ExpectedF1(), 5) is None
    table = decisions(Classified("text", ["b"], {"a": 0.6, "b": 0.5, "c": 0.7}), None)
    assert list(table.columns) == ["label", "decided", "probability"]
    assert table["label"].tolist() == ["b", "c", "a"]
    assert table["decided"].tolist() == ["yes", "no", "no"]
