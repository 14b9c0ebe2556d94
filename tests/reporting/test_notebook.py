"""Parts of reports in a notebook."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pandas as pd
import pytest

from mlemo.reporting.document import Bullets, Document, Heading, Picture, Table
from mlemo.reporting.notebook import Shown, StudyView, frame_table, show
from reporting.test_writers import Page


def html(shown: Shown) -> str:
    text = shown._repr_html_()
    Page(text)  # fails where a tag is left open
    return text


def view(study, scale: str = "tiny") -> StudyView:
    return StudyView(study.file, scale, study.folder, resamples=50)


def test_a_document_is_shown_with_its_figures_and_their_words() -> None:
    picture = Picture("figure_1", "Bars & boxes", 'BCE 0.5 "high"', {"png": b"\x89PNG"})
    table = Table("Scores", ("loss", "F1"), (("<b>", "0.5"),), 1)
    shown = show(Document("Title", [Heading("Part"), table, picture]))
    page = Page(html(shown))
    (image,) = page.all("img")
    assert image["src"] == "data:image/png;base64,iVBORw=="
    assert image["alt"] == 'BCE 0.5 "high"'
    assert "<b>" in page.words
    text = repr(shown)
    assert text.startswith("# Title\n\n## Part")
    assert "| \\<b> | 0.5 |" in text
    assert 'Bars & boxes. BCE 0.5 "high"' in text
    assert "![" not in text


def test_what_is_folded_stands_in_the_text_too() -> None:
    shown = Shown([Heading("A")], {"More": [Bullets(("one", "two"))]})
    assert "<details><summary>More</summary>\n<ul><li" in html(shown)
    assert repr(shown).endswith("### More\n\n- one\n- two")


def test_a_frame_is_a_table_with_text_to_the_left() -> None:
    frame = pd.DataFrame({"n": [3, 1200], "label": ["joy", "anger"], "share": [0.25, -0.5], "text": ["a", "b"]})
    table = frame_table("Counts", frame, decimals=2, remarks=["Invented."])
    assert table.head == ("label", "text", "n", "share")
    assert table.rows == (("joy", "a", "3", "0.25"), ("anger", "b", "1,200", "−0.50"))
    assert (table.text_columns, table.remarks, table.caption) == (2, ("Invented.",), "Counts")


def test_the_runs_of_a_study_are_shown_part_by_part(two_losses) -> None:
    shown = view(two_losses)
    start = repr(shown.introduction())
    assert "6 of 6 runs are finished" in start
    assert "### What is missing: 0" in start
    assert "more\\_of it" in start or "more_of it" in start
    mean = sum(two_losses.values("BCE")) / 3
    table = repr(shown.metric("F1"))
    assert f"{100 * mean:.2f}" in table
    assert "51.25 ± 1.50" in table
    assert "difference from loss BCE" in table
    assert "tuned" not in table
    assert "Parameters" in repr(shown.overview())
    assert "Too few combinations" in repr(shown.overall())
    assert [run.seed for run in shown.runs(loss="Focal")] == [1, 2, 3]


def test_labels_are_chosen(two_losses) -> None:
    shown = view(two_losses)
    assert {line.split("|")[1].strip() for line in repr(shown.overview(loss="Focal")).splitlines()[4:]} == {"Focal"}
    table = repr(shown.metric("F1", loss=["Focal"]))
    assert "| BCE |" not in table
    assert "difference from loss BCE" in table
    assert {dict(run.labels)["loss"] for run in shown.runs()} == {"BCE", "Focal"}
    for ask in (shown.overview, shown.runs):
        with pytest.raises(ValueError, match="loss has no 'MSE'; it has BCE, Focal"):
            ask(loss="MSE")
        with pytest.raises(ValueError, match="no setting 'corpus'; it has threshold, loss"):
            ask(corpus="x")
    with pytest.raises(ValueError, match="no metric 'F2'; it has F1, tuned F1, Parameters"):
        shown.metric("F2")


def test_another_setting_is_compared_on_request(invented: Callable) -> None:
    study = invented(varies={"corpus": {"one": {}, "two": {}}, "loss": {"BCE": {}, "Focal": {}}})
    for corpus in ("one", "two"):
        for loss in ("BCE", "Focal"):
            study.run(corpus, loss, seed=1)
    assert "difference from loss BCE" in repr(view(study).metric("F1"))
    shown = StudyView(study.file, "tiny", study.folder, resamples=50, compare="corpus")
    assert "difference from corpus one" in repr(shown.metric("F1"))
    with pytest.raises(ValueError, match="no setting 'seed' to compare; it has corpus, loss"):
        StudyView(study.file, "tiny", study.folder, compare="seed")


def test_one_figure_is_drawn_with_its_own_number(invented: Callable) -> None:
    figures = [
        {"kind": "point", "title": "Bars", "metric": "F1", "across": "loss"},
        {"kind": "box", "title": "Boxes", "metric": "F1", "across": "loss"},
        {"kind": "curve", "title": "Curves", "scalars": ["train/loss"], "against": "step"},
    ]
    study = invented(figures=figures)
    study.run("BCE", seed=1)
    shown = view(study)
    page = Page(html(shown.figure("Boxes")))
    (image,) = page.all("img")
    assert (image["src"] or "").startswith("data:image/png;base64,iVBOR")
    assert "median" in (image["alt"] or "")
    assert "Figure 2. Boxes, scale tiny" in page.words
    found = repr(shown.figure("Curves"))
    assert found.startswith("Missing:")
    assert "Figure 3. Curves, scale tiny: no finished run has recorded train/loss" in found
    with pytest.raises(ValueError, match="no figure 'Lines'; it has Bars; Boxes; Curves"):
        shown.figure("Lines")


def test_runs_that_are_missing_are_named_and_nothing_fails(invented: Callable, tmp_path: Path) -> None:
    study = invented(figures=[{"kind": "point", "title": "Bars", "metric": "F1", "across": "loss"}])
    never = view(study)
    for part in (never.introduction(), never.overview(), never.metric("F1"), never.overall(), never.figure("Bars")):
        assert re.search(r"Missing:.*no runs of invented at scale tiny: .*mlemo reproduce", unescape(html(part)), re.S)
    assert never.runs() == []
    study.fail(study.plan("Focal", seed=1), "Traceback\nMemoryError: no memory")
    assert "no run of invented at scale tiny is finished" in repr(view(study).overview())
    study.run("BCE", seed=2)
    some = view(study)
    start = repr(some.introduction())
    assert "1 of 6 runs are finished" in start
    assert "- Focal, seed 1: failed: MemoryError: no memory" in start
    assert "- BCE, seeds 1, 3: not started" in start
    assert "no run of invented at scale tiny is finished with {'loss': 'Focal'}" in repr(some.overview(loss="Focal"))


def test_a_scale_that_the_study_has_not_is_no_missing_run(two_losses) -> None:
    with pytest.raises(ValueError, match="no scale 'small'; it has tiny"):
        view(two_losses, "small")
    with pytest.raises(FileNotFoundError, match="no study 'wdl-order'; did you mean 'wdl-orders'"):
        StudyView("wdl-order", "tiny", two_losses.folder)
    (two_losses.folder / "invented_tiny.json").write_text(json.dumps({"a": 1}), encoding="utf-8")
    assert "is not a list of runs" in repr(view(two_losses).introduction())
