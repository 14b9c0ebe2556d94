"""Tables, differences and figures of ablations beside the same by hand, by ``compare`` and by scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from mlemo.api import Ablation, ablate
from mlemo.reporting.comparison import compare_runs
from mlemo.reporting.figure_style import Chart

from .conftest import BASE, VARIANTS


def test_the_table_has_mean_and_deviation_of_the_results(ablation: Ablation) -> None:
    table = ablation.table(["macro_f1", "hamming_loss", "macro_ap"])
    assert table.index.tolist() == ["BCE", "WDL1"]
    assert table.columns.tolist() == [
        ("runs", ""), ("macro_f1", "tuned"), ("macro_f1", "0.5"), ("hamming_loss ↓", "tuned"),
        ("hamming_loss ↓", "0.5"), ("macro_ap", ""),
    ]  # fmt: skip
    for name in ablation:
        results = [run.results() for run in ablation[name]]
        for (column, rule), key in zip(table.columns[1:3], ("tuned_macro_f1", "macro_f1")):
            values = [own[key] for own in results]
            assert table.loc[name, (column, rule)] == f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}"
    assert table["runs"].to_numpy().ravel().tolist() == ["2", "2"]


def test_intervals_and_differences_are_those_of_compare(ablation: Ablation) -> None:
    systems = {name: [run.read_predictions() for run in ablation[name]] for name in ("WDL1", "BCE")}
    for tuned, threshold in ((True, None), (False, 0.5)):
        base, other = compare_runs(systems, ["macro_f1"], threshold=threshold, resamples=300)
        rule = "tuned" if tuned else "0.5"
        found = ablation.scores(["macro_f1"], resamples=300)
        for row in (base, other):
            own = found.loc[row.system, "macro_f1", rule]
            assert own[["mean", "sd"]].tolist() == pytest.approx([row.value, row.sd], abs=1e-6)
        assert found.loc["WDL1", "macro_f1", rule][["low", "high"]].tolist() == pytest.approx([base.low, base.high])
        table = ablation.table(["macro_f1"], intervals=True, resamples=300)
        shown = table.loc["WDL1", ("macro_f1", rule)].replace("−", "-")
        assert shown == f"{base.value:.4f} [{base.low:.4f}, {base.high:.4f}]"
        (own,) = ablation.differences("macro_f1", baseline="WDL1", tuned=tuned, resamples=300).itertuples()
        assert own[0] == "BCE"
        expected = [other.difference, other.difference_low, other.difference_high, other.p, other.p_holm]
        assert list(own[1:]) == pytest.approx(expected)
    first = ablation.differences("macro_f1", resamples=300)
    assert first.index.tolist() == ["WDL1"]


def test_the_forest_plot_draws_the_differences(ablation: Ablation) -> None:
    chart = ablation.forest("macro_f1", baseline="WDL1", resamples=300)
    own = ablation.differences("macro_f1", baseline="WDL1", resamples=300).loc["BCE"]
    own[["low", "high"]] = own[["low", "high"]].clip(-1, 1)  # no difference of shares is larger
    (axes,) = chart.axes
    bar, mark, zero = axes.lines
    assert list(bar.get_xdata()) == pytest.approx([own["low"], own["high"]])
    assert list(mark.get_xdata()) == pytest.approx([own["difference"]])
    certain = own["low"] > 0 or own["high"] < 0
    assert (mark.get_markerfacecolor() != "white") == certain
    assert list(zero.get_xdata()) == [0.0, 0.0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["BCE"]
    assert axes.get_xlabel() == "macro_f1, tuned: difference from WDL1"
    text = f"BCE: {own['difference']:+.4f} [{own['low']:+.4f}, {own['high']:+.4f}]  p {own['p_holm']:.3f}"
    assert text in chart.words.replace("−", "-")
    html = chart._repr_html_()
    assert 'src="data:image/png;base64,' in html
    assert "difference from WDL1" in html


def test_f1_of_each_label(ablation: Ablation) -> None:
    frame = ablation.per_label()
    assert frame.columns.tolist() == ["support", "BCE", "WDL1"]
    for name in ablation:
        values = []
        for run in ablation[name]:
            found = run.predictions()
            values.append(f1_score(found["gold"].astype(int), found["decided"], average=None, zero_division=0))
        assert frame[name].tolist() == pytest.approx(np.mean(values, axis=0))
    assert frame["support"].tolist() == found["gold"].sum().tolist()
    halves = ablation.per_label("recall", tuned=False)
    decided = found["probability"] >= 0.5
    recall = (decided & found["gold"].astype(bool)).sum() / found["gold"].sum()
    assert not np.allclose(halves["WDL1"], frame["WDL1"])
    assert halves["WDL1"].isna().tolist() == recall.isna().tolist()


def test_curves_of_the_weights_of_the_one_variant_that_has_them(ablation: Ablation) -> None:
    chart = ablation.curves("train/weight/*")
    assert isinstance(chart, Chart)
    assert [axes.get_title() for axes in chart.axes] == ["weight/bce", "weight/d0", "weight/d1"]
    assert {text.get_text() for text in chart.legends[0].get_texts()} == {"WDL1"}
    csv = pd.read_csv(ablation["WDL1"][0].folder / "loss_weights.csv")
    line = chart.axes[1].lines[0]
    seeds = [pd.read_csv(run.folder / "loss_weights.csv")["weight/d0"] for run in ablation["WDL1"]]
    assert line.get_ydata()[0] == pytest.approx(np.mean([seed.iloc[:1].mean() for seed in seeds]), rel=0.05)
    assert csv["weight/d0"].min() - 1e-3 <= line.get_ydata().min()
    assert {text.get_text() for text in ablation.curves("train/loss").legends[0].get_texts()} == {"BCE", "WDL1"}


def test_mistakes_are_those_of_the_predictions_the_most_confident_first(ablation: Ablation) -> None:
    frame = ablation.errors("WDL1", label="fear")
    runs = [run.predictions() for run in ablation["WDL1"]]
    gold = runs[0]["gold"]["fear"].astype(bool)
    wrong = sum((run["decided"]["fear"] != gold).astype(int) for run in runs)
    probability = sum(run["probability"]["fear"] for run in runs) / len(runs)
    assert set(frame.index) == set(wrong[wrong > 0].index)
    for index, row in frame.iterrows():
        assert row["mistake"] == ("missed" if gold[index] else "false alarm")
        assert row["runs wrong"] == f"{wrong[index]} of 2"
        assert row["probability"] == pytest.approx(probability[index])
        assert row["text"] == ablation["WDL1"][0].texts()[index]  # type: ignore[index]
        assert ("fear" in row["gold"].split(", ")) == gold[index]
    confidence = frame["probability"].where(frame["mistake"] == "false alarm", 1 - frame["probability"])
    assert confidence.is_monotonic_decreasing
    everything = ablation.errors("WDL1")
    assert len(everything) > len(frame)
    assert everything[everything["label"] == "fear"].equals(frame)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda own: own.table(["macro_f"]), "no metric 'macro_f'; did you mean 'macro_f1'"),
        (lambda own: own.forest("jacard"), "did you mean 'jaccard'"),
        (lambda own: own.per_label("f"), "There are ap, calibration_error, f1, precision, recall"),
        (lambda own: own.curves("trein/loss"), "no finished run has logged 'trein/loss'; did you mean 'train/loss'"),
        (lambda own: own.curves("train/loss", against="hours"), "epoch, step or seconds"),
        (lambda own: own.errors("WDL1", label="fears"), "did you mean 'fear'"),
    ],
)
def test_what_is_not_there_is_named_with_the_nearest(ablation: Ablation, ask: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ask(ablation)


def test_a_part_is_shown_while_the_rest_is_not_done(ablation: Ablation) -> None:
    more = ablate(BASE, {**VARIANTS, "new": {"trainer.max_epochs": 3}}, seeds=3, folder=ablation.folder)
    assert more.table()["runs"].to_numpy().ravel().tolist() == ["2 of 3", "2 of 3"]
    assert more.per_label().equals(ablation.per_label())
    with pytest.raises(ValueError, match="no run of 'new' is finished"):
        more.errors("new")
