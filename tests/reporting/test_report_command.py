"""`mlemo report`: what it writes, and what it says where something is missing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import f1_score

from mlemo import cli
from mlemo.cli import report

Maker = Callable[..., Any]
SUFFIXES = (".md", ".tex", ".html", ".csv", ".json")


def report_of(study: Any, *words: str) -> str:
    """The report in Markdown."""
    page = report.main([str(study.file), "--scale=tiny", f"--folder={study.folder}", "--resamples=20", *words])
    return page.with_suffix(".md").read_text(encoding="utf-8")


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        cli.main(["report", *words])
    assert caught.value.code == 2
    return " ".join(capsys.readouterr().err.split())


def section(text: str, heading: str) -> str:
    return re.split(r"\n## ", text.split(f"\n## {heading}\n", 1)[1])[0]


def cells(text: str, caption: str) -> list[list[str]]:
    """Head and rows of the table with that caption."""
    table = text.split(f"**{caption}**\n\n", 1)[1].split("\n\n", 1)[0]
    lines = [[cell.strip().replace("\\", "") for cell in line[1:-1].split(" | ")] for line in table.splitlines()]
    return [lines[0], *lines[2:]]


def test_ours_stand_beside_the_published_numbers_in_one_unit(two_losses: Any) -> None:
    text = report_of(two_losses)
    means = {loss: 100 * np.mean(two_losses.values(loss)) for loss in ("BCE", "Focal")}
    sds = {loss: 100 * np.std(two_losses.values(loss), ddof=1) for loss in ("BCE", "Focal")}
    shown = {loss: f"{means[loss]:.2f} ± {sds[loss]:.2f}" for loss in means}
    assert cells(text, "Which loss? Scale tiny.") == [
        ["loss", "seeds", "F1 (%)", "tuned F1 (%)", "Parameters ↓"],
        ["BCE", "3", shown["BCE"], *cells(text, "Which loss? Scale tiny.")[1][3:4], "109,486,092 ± 0"],
        ["Focal", "3", shown["Focal"], *cells(text, "Which loss? Scale tiny.")[2][3:4], "109,486,092 ± 0"],
    ]
    head, bce, focal = cells(text, "F1 (%), scale tiny")
    assert head == ["loss", "seeds", "ours", "95 % interval", "published", "ours − published", "table"]
    assert bce[2] == shown["BCE"]
    assert bce[4:] == ["51.25 ± 1.50*", f"{means['BCE'] - 51.25:+.2f}".replace("-", "−"), "Table 2"]
    assert focal[4:] == ["–", "–", "–"]
    assert re.fullmatch(r"\[\d\d\.\d\d, \d\d\.\d\d\]", bce[3])
    head, row = cells(text, "F1 (%): difference from loss BCE, scale tiny")
    assert row[:2] == ["Focal", f"{means['Focal'] - means['BCE']:+.2f}"]
    assert cells(text, "tuned F1 (%), scale tiny")[0] == ["loss", "seeds", "ours", "95 % interval"]
    assert section(text, "Notes on the numbers").strip() == "1. The paper prints 50 % & more_of it."
    assert "Nothing: every run is finished" in section(text, "What is missing")


@pytest.mark.parametrize(("unit", "shown"), [("percent", "51.20"), ("1", "0.5120")])
def test_published_units(unit: str, shown: str, invented: Maker) -> None:
    printed = {"percent": 51.2, "1": 0.512}[unit]
    study = invented(
        published=[
            {"table": "A", "unit": unit, "rows": [{"loss": "BCE", "F1": printed}]},
            {"table": "B", "unit": "1", "rows": [{"F1": 0.5}]},
        ]
    )
    for loss in ("BCE", "Focal"):
        study.run(loss, seed=1)
    rows = cells(report_of(study), f"F1{' (%)' if unit == 'percent' else ''}, scale tiny")
    factor, decimals = (100, 2) if unit == "percent" else (1, 4)
    mean = study.values("BCE")[0]
    differences = [f"{(mean - published) * factor:+.{decimals}f}".replace("-", "−") for published in (0.512, 0.5)]
    assert rows[1][4:] == [f"{shown}; {0.5 * factor:.{decimals}f}", "; ".join(differences), "A; B"]
    assert rows[2][6] == "B"  # a row that leaves out the setting holds for all of its labels
    assert rows[1][1] == "1 of 3"


def test_classes_stand_beside_the_published_ones(two_losses: Any) -> None:
    table = cells(report_of(two_losses), "Focal, 3 seeds, scale tiny")
    assert table[0] == ["class", "training", "test", "F (%)", "published", "difference"]
    assert [row[0] for row in table[1:]] == ["joy", "anger", "fear", "trust", "macro average"]
    runs = [run for name, run in two_losses.runs.items() if name[0] == "Focal"]
    values = np.array([run.f1 for run in runs])
    for column, row in enumerate(table[1:5]):
        own = 100 * values[:, column]
        assert row[1] == str((160, 90, 60, 8)[column])
        assert row[2] == str(runs[0].gold[:, column].sum())
        assert row[3] == f"{own.mean():.2f} ± {own.std(ddof=1):.2f}"
    assert table[2][4:] == ["40.00", f"{100 * values[:, 1].mean() - 40:+.2f}".replace("-", "−")]
    assert table[5][3].startswith(f"{100 * values.mean():.2f} ± ")
    assert table[5][4] == "45.50"
    other = cells(report_of(two_losses), "BCE, 3 seeds, scale tiny")
    assert other[0] == ["class", "training", "test", "F (%)"]


def test_the_compared_setting_can_be_given(invented: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    study = invented(varies={"loss": {"BCE": {}, "Focal": {}}, "order": {"up": {}, "down": {}}}, compare="loss")
    for loss in ("BCE", "Focal"):
        for order in ("up", "down"):
            study.run(loss, order, seed=1)
    for words, caption in (((), "loss BCE"), (("--compare=order",), "order up")):
        table = cells(report_of(study, *words), f"F1: difference from {caption}, scale tiny")
        assert len(table) == 3
    message = refused([str(study.file), "--scale=tiny", f"--folder={study.folder}", "--compare=losses"], capsys)
    assert f"{study.file}: no setting 'losses' to compare; it has loss, order" in message


def test_what_is_missing_is_named(invented: Maker) -> None:
    study = invented(
        scales={"tiny": {"seeds": [1, 2, 3]}, "paper": {"seeds": [1]}},
        varies={"loss": {"BCE": {}, "Focal": {}, "ASL": "no runs", "Huge": {"paper": {}}}},
        figures=[
            {"kind": "point", "title": "Only Focal", "metric": "F1", "across": "loss", "where": {"loss": "Focal"}}
        ],
        published=[
            {"table": "T", "unit": "1", "rows": [{"loss": "ASL", "F1": 0.5}, {"loss": "Huge", "F1": 0.4}]},
        ],
        class_metrics={"F": "f1"},
    )
    (study.run("BCE", seed=1).folder / "per_class_test.csv").unlink()
    study.fail(study.plan("BCE", seed=2), "ended with status 1\n  the last words: | out of *memory*\n")
    (study.folder / "runs" / study.plan("Focal", seed=1)).mkdir()
    study.listed.append({"labels": {"loss": "Old"}, "seed": 1, "address": "rOld", "words": []})
    study.listed.append({"labels": {"loss": "Huge"}, "seed": 2, "address": "rHuge", "words": []})  # had this scale once
    study.plan("Focal", seed=2)
    text = report_of(study)
    assert "1 of 6 runs are finished; what is not (5) is named" in text
    missing = [
        line.removeprefix("- ").replace("\\", "") for line in section(text, "What is missing").strip().splitlines()
    ]
    assert missing[:6] == [
        "BCE, seed 2: failed: the last words: | out of *memory*",
        "BCE, seed 3: not started",
        "Focal, seed 1: not finished",
        "Focal, seeds 2, 3: not started",
        "loss Old, seed 1: no longer part of the study; not shown",
        "loss Huge, seed 2: no longer part of the study; not shown",
    ]
    assert missing[6].startswith("BCE: no table of classes: ")
    assert missing[7] == "Figure 1. Only Focal, scale tiny: none of its runs is finished at this scale"
    assert len(missing) == 8
    assert cells(text, "F1, scale tiny")[1][:2] == ["BCE", "1 of 3"]
    assert section(text, "Published numbers without a finished run at scale tiny").strip() == "- T: ASL; Huge"


def test_a_part_is_reported_alone(invented: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    varies = {"corpus": {"A": {}, "B": {}}, "loss": {"BCE": {}, "Focal": {}}}
    bars = [
        {"kind": "point", "title": title, "metric": "F1", "across": "loss", "where": {"corpus": title}}
        for title in "AB"
    ]
    rows = [{"corpus": "A", "loss": "Focal", "F1": 0.5}, {"corpus": "B", "loss": "Focal", "F1": 0.4}]
    study = invented(varies=varies, figures=bars, published=[{"table": "T", "unit": "1", "rows": rows}])
    for corpus in "AB":
        for seed in (1, 2):
            study.run(corpus, "BCE", seed=seed)
    study.listed.append({"labels": {"corpus": "Old", "loss": "BCE"}, "seed": 1, "address": "rOld", "words": []})
    study.plan("A", "Focal", seed=1)
    text = report_of(study, "--only=corpus=B", "--only=seed=1", "--only=seed=2", f"--output={study.folder / 'part'}")
    assert "A part of it: corpus B, seed 1 or 2. 2 of 4 runs are finished; what is not (2) is named" in text
    assert [row[:3] for row in cells(text, "F1, scale tiny")[1:]] == [["B", "BCE", "2"]]
    assert section(text, "What is missing").strip().splitlines() == [
        "- B, Focal, seeds 1, 2: not started",
        "- corpus Old, loss BCE, seed 1: no longer part of the study; not shown",
    ]
    assert section(text, "Published numbers without a finished run at scale tiny").strip() == "- T: B, Focal"
    assert "**Figure 1. B, scale tiny**" in text
    assert "Figure 2" not in text
    words = [str(study.file), "--scale=tiny", f"--folder={study.folder}"]
    assert "--only needs --output" in refused([*words, "--only=corpus=B"], capsys)  # the whole report is not lost
    words.append(f"--output={study.folder / 'part'}")
    assert "corpus has no 'C'; it has A, B" in refused([*words, "--only=corpus=C"], capsys)
    assert "--only corpus: expected SETTING=LABEL" in refused([*words, "--only=corpus"], capsys)
    assert "no run of invented at scale tiny is finished" in refused([*words, "--only=loss=Focal"], capsys)


def test_runs_that_are_missing_alike_share_a_line(invented: Maker) -> None:
    study = invented(varies={"corpus": {"A": {}, "B": {}}, "loss": {"BCE": {}, "ASL": {}, "Focal": {}}})
    study.run("A", "BCE", seed=1)
    study.fail(study.plan("B", "ASL", seed=2), "broken")
    missing = section(report_of(study), "What is missing").strip().splitlines()
    assert missing == [
        "- A, BCE, seeds 2, 3: not started",
        "- A, ASL / Focal, seeds 1, 2, 3: not started",
        "- B, BCE / Focal, seeds 1, 2, 3: not started",
        "- B, ASL, seeds 1, 3: not started",
        "- B, ASL, seed 2: failed: broken",
    ]


def test_how_the_runs_were_made(two_losses: Any) -> None:
    facts = dict(cells(report_of(two_losses), "From the records of the finished runs"))
    assert facts["scale"] == "tiny"
    assert facts["different runs"] == "6"
    assert facts["commit"] == "0123456789ab with changed files (2 runs); 0123456789ab (4 runs)"
    assert facts["code"] == "sha256:efefefefefef"
    assert facts["hardware"] == "Some CPU, 4 threads of 8 cores, Linux"
    assert facts["seconds per run"] == "101 to 103, 612 in all; 2 were resumed, and count from there"
    assert facts["peak memory"] == "up to 1,024 MiB"
    assert facts["data"] == "corpus sha256:abababababab"
    two_losses.runs["BCE", "1"].write_record(data={"owner/name/simplified/train": "sha256:" + "cd" * 32})
    facts = dict(cells(report_of(two_losses), "From the records of the finished runs"))
    assert facts["data"] == "corpus sha256:abababababab; owner/name/simplified/train sha256:cdcdcdcdcdcd"
    assert (facts["python"], facts["torch"]) == ("3.12.1", "2.9.0")


def test_a_report_begins_with_a_warning_where_runs_were_made_by_different_code(two_losses: Any) -> None:
    assert "WARNING" not in report_of(two_losses), "commits differ, and the code does not"
    two_losses.runs["BCE", "1"].write_record(code="sha256:" + "ab" * 32)
    two_losses.runs["Focal", "1"].write_record(code=None)
    text = report_of(two_losses)
    warning = next(line for line in text.splitlines() if "WARNING" in line)
    assert text.index("WARNING") < text.index("Study ")
    assert "the 6 runs were made by 3 versions of the code" in warning
    for version in ("sha256:efefefefefef: 4", "sha256:abababababab: 1", "commit 0123456789ab with changed files: 1"):
        assert version in warning


def test_files_lie_where_they_are_asked_for(
    two_losses: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(two_losses.file), "--scale=tiny", f"--folder={two_losses.folder}", "--resamples=5"]
    page = cli.main(["report", *words])
    assert page == two_losses.folder / "reports" / "invented_tiny" / "report.html"
    assert {path.name for path in page.parent.glob("report.*")} == {f"report{suffix}" for suffix in SUFFIXES}
    printed = capsys.readouterr().out
    for suffix in SUFFIXES:
        assert f"written: {page.with_suffix(suffix)}" in printed
    other = tmp_path / "elsewhere"
    (other / "figures").mkdir(parents=True)
    (other / "figures" / "figure_09_point.png").touch()
    assert cli.main(["report", *words, f"--output={other}"]) == other / "report.html"
    assert {path.stem for path in (other / "figures").iterdir()} == {"figure_00_forest"}  # none of an earlier report
    assert page.read_bytes() == (other / "report.html").read_bytes()


def test_the_numbers_of_each_run_are_a_table(two_losses: Any) -> None:
    two_losses.plan("Focal", seed=4)  # not finished
    report_of(two_losses)
    table = pd.read_csv(two_losses.folder / "reports" / "invented_tiny" / "report.csv")
    assert list(table.columns) == ["loss", "seed", "run", "F1", "tuned F1", "Parameters"]
    assert [(row.loss, str(row.seed)) for row in table.itertuples()] == list(two_losses.runs)
    for row, run in zip(table.to_dict("records"), two_losses.runs.values(), strict=True):
        assert row["run"] == run.folder.name
        assert row["F1"] == pytest.approx(run.results["macro_f1"], abs=1e-12)
        assert row["tuned F1"] == pytest.approx(run.results["tuned_macro_f1"], abs=1e-12)
        assert row["Parameters"] == 109_486_092


def test_the_table_has_a_row_for_each_decision_rule(invented: Maker) -> None:
    rules = {str(cut): {"class_path": "FixedThreshold", "init_args": {"threshold": cut}} for cut in (0.5, 0.9)}
    study = invented(rules=rules)
    run = study.run("BCE", seed=1)
    report_of(study)
    table = pd.read_csv(study.folder / "reports" / "invented_tiny" / "report.csv")
    assert list(zip(table["loss"], table["threshold"], table["run"])) == [
        ("BCE", float(label), run.folder.name) for label in rules
    ]
    expected = [f1_score(run.gold, run.probabilities >= cut, average="macro", zero_division=0.0) for cut in (0.5, 0.9)]
    assert table["F1"].tolist() == pytest.approx(expected, abs=1e-6)


def test_figures_are_beside_the_report_and_inside_the_page(invented: Maker) -> None:
    study = invented(figures=[{"kind": "line", "title": "A & B", "metric": "F1", "across": "loss"}])
    for loss in ("BCE", "Focal"):
        study.run(loss, seed=1)
    text = report_of(study)
    folder = study.folder / "reports" / "invented_tiny"
    names = ("figure_00_forest", "figure_01_line")
    assert {path.name for path in (folder / "figures").iterdir()} == {
        f"{name}.{suffix}" for name in names for suffix in ("png", "pdf", "svg")
    }
    assert "](figures/figure_01_line.png)" in text
    assert "{figures/figure_01_line.pdf}" in (folder / "report.tex").read_text(encoding="utf-8")
    page = (folder / "report.html").read_text(encoding="utf-8")
    mean = f"{np.mean(study.values('BCE')):.4f}"
    assert re.search(rf'<img alt="Lines of F1 by loss\. BCE {mean} \(', page)
    assert 'src="data:image/svg+xml;base64,' in page


def test_a_study_that_is_not_known(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "no study 'wdl-loses'; did you mean 'wdl-losses'?" in refused(["wdl-loses", "--scale=tiny"], capsys)
    missing = tmp_path / "mine.yaml"
    assert f"no study file {missing}" in refused([str(missing), "--scale=tiny"], capsys)


def test_nothing_to_report(invented: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    study = invented()
    words = [str(study.file), "--scale=tiny", f"--folder={study.folder}"]
    command = f"`mlemo reproduce {study.file} --scale tiny --folder {study.folder}`"
    message = refused(words, capsys)
    assert (
        f"no runs of invented at scale tiny: {study.folder / 'invented_tiny.json'} does not exist; {command}" in message
    )
    study.fail(study.plan("BCE", seed=1), "RuntimeError: no disk")
    message = refused(words, capsys)
    assert (
        f"no run of invented at scale tiny is finished in {study.folder}: 6 planned; the first, BCE, seed 1: "
        in message
    )
    assert f"failed: RuntimeError: no disk; {command} runs them" in message
    assert "no scale 'small'; it has tiny" in refused([words[0], "--scale=small", words[2]], capsys)


def test_runs_with_other_values_are_no_seeds_of_the_same_system(
    invented: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    scales = {"tiny": {"set": {"data_dir": "${data_dir}", "rate": "${rate}"}, "seeds": [1, 2, 3]}}
    study = invented(scales=scales)
    for seed, rate, data_dir in ((1, "3.0", "/some/where/corpus"), (2, "0.1", "/some/where/corpus"), (3, "0.1", "/x")):
        study.variables = {"rate": rate, "data_dir": data_dir}
        study.run("BCE", seed=seed).write_record(data={data_dir: "sha256:" + "ab" * 32})
    text = report_of(study)
    assert cells(text, "F1, scale tiny")[1][:2] == ["BCE", "2 of 3"]  # the same data lie in two places
    assert "- BCE, seed 1: run with rate 3.0, not 0.1; not shown" in text
    made = dict(cells(text, "From the records of the finished runs"))
    assert made["with rate"] == "0.1"
    assert made["with data_dir"] == "sha256:" + "ab" * 6

    # the study's file changes: what was run before is no longer what it says
    scales["tiny"]["set"]["epochs"] = 3
    study.file.write_text(yaml.safe_dump(yaml.safe_load(study.file.read_text()) | {"scales": scales}))
    message = refused([str(study.file), "--scale=tiny", f"--folder={study.folder}"], capsys)
    assert (
        "the first, BCE, seeds 1, 2, 3: run with other settings than those of the study now; `mlemo reproduce"
        in message
    )


def test_files_that_cannot_be_read(two_losses: Any, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(two_losses.file), "--scale=tiny", f"--folder={two_losses.folder}"]
    assert "--resamples must be at least 1, found 0" in refused([*words, "--resamples=0"], capsys)
    assert "Not a directory" in refused([*words, f"--output={two_losses.file}"], capsys)
    record = two_losses.runs["BCE", "1"].folder / "record.json"
    record.write_text("{")
    assert f"{record} is not a record" in refused(words, capsys)
    (two_losses.folder / "invented_tiny.json").write_text(json.dumps([{"seed": 1}]))
    assert "invented_tiny.json is not a list of runs: KeyError('labels')" in refused(words, capsys)


def test_help_names_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["--help"])
    shown = capsys.readouterr().out
    assert "\n  report      verdicts on a study's claims" in shown
    assert "\n  sweep " in shown
