"""Verdicts on the claims of a study."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from math import nan
from pathlib import Path
from typing import Any

import pytest

from mlemo import cli
from mlemo.experiments.part import part_of_words
from mlemo.experiments.published import Claim
from mlemo.metrics.compare import Comparison, holm
from mlemo.reporting.claims import Finding, as_data, findings, overall_verdict
from mlemo.reporting.comparison import compare_runs
from mlemo.reporting.markdown import as_markdown
from mlemo.reporting.results import Results, read_results
from mlemo.reporting.run_records import read_records
from mlemo.reporting.scores import score
from mlemo.reporting.study_report import make_report
from mlemo.runs.predictions import read_predictions
from reporting.conftest import InventedStudy

BETTER = {"text": "Focal beats BCE", "label": "Focal", "against": "BCE", "metrics": ["F1", "tuned F1"], "source": "T 2"}
METRICS = {"F1": "macro_f1", "tuned F1": "tuned_macro_f1"}


def finding(low: float, high: float, **settings: Any) -> Finding:
    claim = Claim("a", "loss", "Focal", "BCE", ("F1",), **settings)
    return Finding(claim, "F1", (), Comparison((low + high) / 2, low, high, 0.01))


@pytest.mark.parametrize(
    ("ends", "settings", "verdict"),
    [
        ((0.01, 0.03), {}, "holds"),
        ((-0.03, -0.01), {}, "contradicted"),
        ((-0.01, 0.03), {}, "not shown"),
        ((0.0, 0.03), {}, "not shown"),
        ((nan, nan), {}, "open"),
        ((-0.03, -0.01), {"expected": "lower"}, "holds"),
        ((0.01, 0.03), {"expected": "lower"}, "contradicted"),
        ((-0.01, 0.01), {"expected": "equal", "margin": 0.02}, "holds"),
        ((0.03, 0.05), {"expected": "equal", "margin": 0.02}, "contradicted"),
        ((-0.05, -0.03), {"expected": "equal", "margin": 0.02}, "contradicted"),
        ((-0.03, 0.01), {"expected": "equal", "margin": 0.02}, "not shown"),
    ],
)
def test_a_verdict_follows_from_the_interval(ends: tuple[float, float], settings: dict[str, Any], verdict: str) -> None:
    assert finding(*ends, **settings).verdict == verdict


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["holds", "holds"], "holds"),
        (["holds", "open"], "holds"),
        (["holds", "not shown"], "partly"),
        (["holds", "contradicted"], "partly"),
        (["contradicted", "not shown"], "contradicted"),
        (["not shown", "open"], "not shown"),
        (["open"], "open"),
        ([], "open"),
    ],
)
def test_verdicts_combine(verdicts: list[str], expected: str) -> None:
    ends = {"holds": (1, 2), "contradicted": (-2, -1), "not shown": (-1, 1), "open": (nan, nan)}
    assert overall_verdict(finding(*ends[verdict]) for verdict in verdicts) == expected


def read(study: InventedStudy, **only: Any) -> tuple[Results, list[Finding]]:
    results = read_results(study.study, "tiny", study.folder, **only)
    return results, findings(results, score(results, 50))


@pytest.fixture
def claimed(invented: Callable[..., InventedStudy]) -> InventedStudy:
    """Three losses on two corpora; Focal is best; ASL is not run on corpus B."""
    study = invented(
        metrics=METRICS,
        varies={
            "corpus": {"A": {"c": 1}, "B": {"c": 2}},
            "loss": {"BCE": {"a": 1}, "ASL": {"a": 2}, "Focal": {"b": 1}},
        },
        published=[
            {
                "table": "Table 2",
                "unit": "percent",
                "rows": [{"corpus": "A", "loss": "BCE", "F1": 51.25}, {"corpus": "A", "loss": "Focal", "F1": 53.5}],
            }
        ],
        claims=[
            BETTER,
            {"text": "ASL equals Focal", "label": "ASL", "against": "Focal", "expected": "equal", "margin": 0.01},
            {"text": "A is easier", "compare": "corpus", "label": "A", "against": "B", "where": {"loss": "BCE"}},
        ],
    )
    for corpus, loss, errors in (
        ("A", "BCE", 0.3), ("A", "ASL", 0.3), ("A", "Focal", 0.05), ("B", "BCE", 0.3), ("B", "Focal", 0.05),
    ):  # fmt: skip
        for seed in (1, 2, 3):
            study.run(corpus, loss, seed=seed, errors=errors)
    return study


def test_findings_are_those_of_compare_in_every_combination_and_metric(claimed: InventedStudy) -> None:
    _, found = read(claimed)
    assert [(one.claim.label, one.metric, dict(one.others)) for one in found] == [
        ("Focal", "F1", {"corpus": "A"}),
        ("Focal", "F1", {"corpus": "B"}),
        ("Focal", "tuned F1", {"corpus": "A"}),
        ("Focal", "tuned F1", {"corpus": "B"}),
        ("ASL", "F1", {"corpus": "A"}),
        ("A", "F1", {"loss": "BCE"}),
    ]
    assert [one.verdict for one in found] == ["holds", "holds", "holds", "holds", "contradicted", "not shown"]
    for one, (label, against), corpus, tuned in (
        (found[0], ("Focal", "BCE"), "A", False),
        (found[3], ("Focal", "BCE"), "B", True),
        (found[4], ("ASL", "Focal"), "A", False),
    ):
        runs = {
            loss: [
                read_predictions(claimed.runs[corpus, loss, str(seed)].folder / "predictions_test.csv")
                for seed in (1, 2, 3)
            ]
            for loss in (against, label)
        }
        row = compare_runs(runs, ["macro_f1"], threshold=None if tuned else 0.5, resamples=50)[1]
        expected = (row.difference, row.difference_low, row.difference_high, row.p)
        assert (one.result.difference, one.result.low, one.result.high, one.result.p) == pytest.approx(expected)
    assert [one.p_holm for one in found] == pytest.approx(list(holm([one.result.p for one in found])))
    assert found[0].published == pytest.approx(0.0225)
    assert found[0].source == "Table 2"
    assert found[1].published != found[1].published  # NaN: nothing is printed for corpus B


def test_the_published_difference_is_of_the_first_table_that_has_both_numbers(
    invented: Callable[..., InventedStudy],
) -> None:
    def table(name: str, **values: float) -> dict[str, Any]:
        return {"table": name, "unit": "1", "rows": [{"loss": loss, "F1": value} for loss, value in values.items()]}

    published = [table("T 1", Focal=0.9), *(table(f"T {n}", BCE=0.1 * n, Focal=0.15 * n) for n in (2, 3, 4, 5))]
    study = invented(metrics=METRICS, published=published, claims=[BETTER | {"metrics": ["F1"]}])
    for loss in ("BCE", "Focal"):
        study.run(loss, seed=1)
    _, (one,) = read(study)
    assert (one.source, one.published) == ("T 2", pytest.approx(0.1))


def test_a_claim_without_runs_is_open(claimed: InventedStudy) -> None:
    _, found = read(claimed, only=part_of_words(["corpus=A", "loss=BCE", "loss=Focal"]))
    assert [(one.claim.label, one.verdict) for one in found] == [("Focal", "holds")] * 2
    claims = (replace(claimed.study.claims[1], against="BCE", label="ASL", where={"corpus": ("B",)}),)
    results = read_results(replace(claimed.study, claims=claims), "tiny", claimed.folder)
    (one,) = findings(results, score(results, 20))
    assert one.verdict == "open"
    assert as_data(results, [one])[0]["difference"] is None


def test_a_report_opens_with_verdicts_the_forest_plot_and_what_ran(claimed: InventedStudy) -> None:
    results, found = read(claimed)
    document = make_report(results, score(results, 50), found)
    text = as_markdown(document, "figures")
    places = [text.index(part) for part in ("## Verdicts", "figure_00_forest", "## What ran", "## All metrics")]
    assert places == sorted(places)
    assert "> **Holds**: Focal beats BCE (T 2)" in text
    assert "> **Contradicted**: ASL equals Focal" in text
    (forest, *_) = document.pictures
    assert "Focal − BCE, A: +" in forest.alternative
    assert "holds; published +2.25" in forest.alternative
    assert "- model: BertWDL" in text
    assert "- encoder: MiniLM" in text
    assert "/some/where" not in text


def test_a_study_without_claims_opens_with_differences_from_the_first_label(two_losses: InventedStudy) -> None:
    results = read_results(two_losses.study, "tiny", two_losses.folder)
    document = make_report(results, score(results, 20))
    assert document.pictures[0].caption.startswith("Differences from loss BCE")
    assert "Verdicts" not in as_markdown(document, "figures")


def test_the_command_writes_records_of_runs_and_claims(claimed: InventedStudy) -> None:
    words = [str(claimed.file), "--scale=tiny", f"--folder={claimed.folder}", "--resamples=20"]
    page = cli.main(["report", *words])
    assert isinstance(page, Path)
    content = read_records(page.with_suffix(".json"))
    assert len(content["runs"]) == 15
    run = content["runs"][0]
    assert run["labels"] == {"corpus": "A", "loss": "BCE"}
    assert run["scores"]["macro_f1"] == claimed.runs["A", "BCE", "1"].results["macro_f1"]
    assert run["corpus"] == {"class": "mlemo.data.TextFiles", "settings": {"kind": "a"}, "splits": {}}
    assert run["model"]["settings"] == {"encoder": "MiniLM"}
    claim = content["claims"][0]
    assert (claim["verdict"], claim["seeds"], claim["metric"]) == ("holds", [3, 3], "macro_f1")
    assert "/some/where" not in json.dumps(content)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": "Focl"}, r"claims\[0\]\.label: unknown label 'Focl', expected one of BCE, Focal"),
        ({"against": "Focal"}, r"claims\[0\]\.against: expected another label than 'Focal'"),
        ({"expected": "better"}, r"claims\[0\]\.expected: expected one of higher, lower, equal, found 'better'"),
        (
            {"expected": "equal"},
            r"claims\[0\]\.margin: expected a share above 0 and below 1 for `expected: equal`, found 0",
        ),
        ({"margin": 0.1}, r"claims\[0\]\.margin: a margin is for `expected: equal`, found `expected: higher`"),
        ({"metrics": ["F2"]}, r"claims\[0\]\.metrics\[0\]: unknown label 'F2'"),
        ({"where": {"corpus": "A"}}, r"claims\[0\]\.where\.corpus: unknown key"),
        ({"than": "BCE"}, r"claims\[0\]\.than: unknown key"),
    ],
)
def test_a_wrong_claim_is_refused_with_its_key(
    invented: Callable[..., InventedStudy], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        invented(metrics=METRICS, claims=[BETTER | changes])
