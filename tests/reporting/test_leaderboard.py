"""Records of runs, also of others, and the page of them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlemo.cli import main
from mlemo.reporting.leaderboard import leaderboard, merged
from mlemo.reporting.markdown import as_markdown
from mlemo.reporting.run_records import check_records, read_records, run_record
from mlemo.runs.manifest import Manifest, write_manifest
from reporting.conftest import InventedStudy


@pytest.fixture
def records(two_losses: InventedStudy, tmp_path: Path) -> Path:
    """The file of records that a report leaves."""
    words = [str(two_losses.file), "--scale=tiny", f"--folder={two_losses.folder}", "--resamples=5"]
    page = main(["report", *words, f"--output={tmp_path / 'own'}"])
    assert isinstance(page, Path)
    return page.with_suffix(".json")


def table(text: str) -> list[list[str]]:
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [line for line in lines if not line[0].startswith(":")]


def test_systems_of_one_test_set_are_ordered_by_the_first_score(records: Path, two_losses: InventedStudy) -> None:
    head, *rows = table(as_markdown(leaderboard(merged([records]), ["macro_f1", "jaccard", "other"]), ""))
    assert head == ["system", "encoder", "trained on", "seeds", "macro f1", "jaccard", "other"]
    assert [row[0] for row in rows] == ["invented: Focal (tiny)", "invented: BCE (tiny)"]
    values = two_losses.values("Focal")
    assert rows[0][4].split(" ± ")[0] == f"{sum(values) / 3:.3f}"
    assert [row[3] for row in rows] == ["3", "3"]
    assert rows[0][6] == "–"


def test_test_sets_have_tables_of_their_own_and_equal_records_count_once(records: Path, tmp_path: Path) -> None:
    content = read_records(records)
    other = copy.deepcopy(content["runs"][0])
    split = {"rows": 60, "sha256": "ab" * 32}
    other |= {"name": "theirs <b>", "corpus": other["corpus"] | {"splits": {"train": split, "test": split}}}
    theirs = tmp_path / "folder" / "theirs.json"
    theirs.parent.mkdir()
    theirs.write_text(json.dumps({"format": 1, "runs": [other, content["runs"][1]], "claims": []}))
    found = merged([records, theirs.parent])
    assert len(found["runs"]) == 7
    text = as_markdown(leaderboard(found), "")
    assert "## TextFiles, 60 test texts (abababab)" in text
    (row,) = [row for row in table(text) if row[0].startswith("theirs")]
    assert row[1:4] == ["MiniLM", "60", "1"]
    page = main(["leaderboard", str(records), str(theirs), f"--output={tmp_path / 'page'}"])
    assert isinstance(page, Path)
    assert "theirs &lt;b&gt;" in page.read_text(encoding="utf-8")
    assert len(read_records(page.with_suffix(".json"))["runs"]) == 7


def test_a_tested_run_is_a_record_without_paths(two_losses: InventedStudy, tmp_path: Path) -> None:
    folder = two_losses.runs["BCE", "1"].folder
    splits = {"train": {"rows": 9, "sha256": "cd" * 32}, "test": {"rows": 60, "sha256": "ef" * 32}}
    encoder = {"name": "MiniLM", "pretrained": True, "layers": 6, "width": 384, "parameters": 22_713_216}
    write_manifest(
        folder,
        Manifest("finished", "2026", [], "mine", data={"splits": splits}, model={"parameters": 5, "encoder": encoder}),
    )
    record = run_record(folder)
    check_records({"format": 1, "runs": [record], "claims": []}, "it")
    assert record["name"] == "mine"
    assert record["corpus"]["splits"] == splits
    assert record["intervals"] == {"macro_f1": [0.1, 0.9]}
    assert "/some/where" not in json.dumps(record)
    text = as_markdown(leaderboard(merged([folder]), ["macro_f1"]), "")
    (row,) = table(text)[1:]
    assert row == ["mine", "MiniLM, 6 × 384, 22.7 M", "9", "1", f"{record['scores']['macro_f1']:.3f} [0.100, 0.900]"]
    with pytest.raises(FileNotFoundError, match=r"has no results_test.json: it is not the folder of a tested run"):
        run_record(tmp_path)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("/", "/"),
        ("mine/train.csv", "mine/train.csv"),
        ("/some/where/train.csv", "train.csv"),
        ("C:\\Users\\me\\train.csv", "train.csv"),
        ({"files": ["/a/b", None, 2]}, {"files": ["b", None, 2]}),
    ],
)
def test_settings_have_no_folder_of_the_machine(two_losses: InventedStudy, value: Any, expected: Any) -> None:
    run = two_losses.runs["BCE", "1"]
    record = json.loads((run.folder / "record.json").read_text(encoding="utf-8"))
    record["config"]["data"]["init_args"] = {"setting": value}
    run.write_record(config=record["config"])
    assert run_record(run.folder)["corpus"]["settings"] == {"setting": expected}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda it: it.pop("claims"), "the file: 'claims' is a required property"),
        (lambda it: it | {"format": 2}, "format 2 is of a later version of mlemo; expected 1"),
        (lambda it: it["runs"][0].pop("seed"), r"runs\[0\]: 'seed' is a required property"),
        (lambda it: it["runs"][0]["scores"].update(f1="0.9"), r"runs\[0\]\.scores\.f1: '0.9' is not of type 'number'"),
        (lambda it: it["runs"][1].update(name=""), r"runs\[1\]\.name: '' should be non-empty"),
        (
            lambda it: it["runs"][0]["corpus"].update(splits={"test": {"rows": 1, "sha256": "0"}}),
            r"runs\[0\]\.corpus\.splits\.test\.sha256: '0' does not match",
        ),
    ],
)
def test_a_file_that_does_not_agree_with_the_schema_is_refused(
    records: Path, change: Callable[[Any], Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(records.read_text(encoding="utf-8"))
    changed = change(content)
    records.write_text(json.dumps(changed if isinstance(changed, dict) and "format" in changed else content))
    with pytest.raises(ValueError, match=message) as caught:
        read_records(records)
    assert str(records) in str(caught.value)
    capsys.readouterr()
    with pytest.raises(SystemExit, match="2"):
        main(["leaderboard", str(records)])
    assert "mlemo leaderboard: " in capsys.readouterr().err


def test_nothing_to_show_is_refused(records: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no records of runs in"):
        merged([tmp_path / "own" / "figures"])
    with pytest.raises(FileNotFoundError):
        merged([tmp_path / "none.json"])
    with pytest.raises(ValueError, match=r"no run has the score 'f2'; there are .*macro_f1"):
        leaderboard(merged([records]), ["f2"])
