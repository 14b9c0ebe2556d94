"""Studies as data: what is refused, what comes out of them, and that published numbers are those of the papers."""

from __future__ import annotations

import copy
import os
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from mlemo.labels import LabelSpace
from mlemo.metrics import MultiLabelMetrics
from mlemo.studies.study import DEFINITIONS, PublishedRow, load_study

STUDY: dict[str, Any] = {
    "title": "Does it matter?",
    "paper": "Nobody (2020)",
    "metrics": {"F": "macro_f1"},
    "scales": {
        "tiny": {"words": "--a=1", "seeds": [0, 1]},
        "small": {"words": "--dir='${data_dir}/sub folder'", "seeds": [7], "variables": {"width": 3}},
    },
    "varies": {
        "loss": {"BCE": "--loss=B", "MSE": {"small": "--loss=M --width=${width}"}},
        "order": {"up": "--up=1", "down": "--up=0"},
    },
    "published": [{"table": "Table 1", "unit": "percent", "rows": [{"loss": "BCE", "F": 50.5}]}],
}
NAMES = sorted(file.stem for file in DEFINITIONS.glob("*.yaml"))


def write(folder: Path, content: Any) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def test_a_study_expands_to_all_combinations_and_seeds(tmp_path: Path) -> None:
    study = load_study(write(tmp_path, STUDY))
    runs = study.expand("tiny")
    assert [run.name for run in runs] == [
        "BCE, up, seed 0",
        "BCE, up, seed 1",
        "BCE, down, seed 0",
        "BCE, down, seed 1",
    ]
    assert runs[1].words == ("--a=1", "--loss=B", "--up=1", "--seed_everything=1", "--data.seed=1")
    small = study.expand("small", {"data_dir": "/x y"})
    assert [dict(run.labels) for run in small] == [
        {"loss": loss, "order": order} for loss in ("BCE", "MSE") for order in ("up", "down")
    ]
    assert small[2].words[:3] == ("--dir=/x y/sub folder", "--loss=M", "--width=3")
    assert study.expand("small", {"data_dir": "/", "width": "5"})[2].words[2] == "--width=5"


def test_cases_name_labels_or_lists_of_them(tmp_path: Path) -> None:
    content = STUDY | {"cases": [{"loss": "BCE", "order": ["down"]}, {"loss": ["BCE", "MSE"], "order": "down"}]}
    study = load_study(write(tmp_path, content))
    assert study.cases == (
        (("loss", "BCE"), ("order", "down")),
        (("loss", "MSE"), ("order", "down")),
    )


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (["colour"], 1, "the file: unknown key 'colour'"),
        (["metrics"], None, "metrics: expected a mapping, found None"),
        (["scales", "huge"], {}, "scales: unknown key 'huge', expected some of paper, small, tiny"),
        (["scales", "tiny", "seeds"], [1, "2"], r"scales.tiny.seeds: expected a list of integers from 0"),
        (["scales", "tiny", "seeds"], [1, 1], "scales.tiny.seeds: a seed stands twice"),
        (["scales", "tiny", "words"], "--a='1", "scales.tiny.words: No closing quotation"),
        (["varies", "loss", "BCE"], 3, "varies.loss.BCE: expected words"),
        (["varies", "order", "up"], {"large": ""}, "varies.order.up: unknown key 'large'"),
        (["cases"], [{"loss": "BCE"}], r"cases\[0\]: no label of order"),
        (["cases"], [{"loss": "BCE", "order": "left"}], r"cases\[0\].order: unknown label 'left', expected one of up"),
        (["published", 0, "unit"], "cm", r"published\[0\].unit: expected percent"),
        (["published", 0, "rows", 0, "loss"], "ASL", r"published\[0\].rows\[0\].loss: unknown label 'ASL'"),
        (["published", 0, "rows", 0, "G"], 1.0, r"published\[0\].rows\[0\]: unknown key 'G'"),
        (["published", 0, "rows", 0, "F"], "1", r"published\[0\].rows\[0\].F: expected a number, found '1'"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_key(keys: list[Any], value: Any, message: str, tmp_path: Path) -> None:
    content = copy.deepcopy(STUDY)
    inner: Any = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    with pytest.raises(ValueError, match=r"mine\.yaml: " + message):
        load_study(write(tmp_path, content))


def test_variables_without_value_or_use_are_named(tmp_path: Path) -> None:
    study = load_study(write(tmp_path, STUDY))
    with pytest.raises(
        ValueError, match=r"mine\.yaml, scale small: .* needs a value of data_dir; give --set data_dir="
    ):
        study.expand("small")
    with pytest.raises(ValueError, match=r"no run uses datadir; used are \['seed'\]"):
        study.expand("tiny", {"datadir": "x"})
    with pytest.raises(ValueError, match="no scale 'paper'; it has tiny, small"):
        study.expand("paper")


def test_a_misspelt_study_is_answered_with_the_nearest() -> None:
    with pytest.raises(FileNotFoundError, match="no study 'wdl-loses'; did you mean 'wdl-losses'"):
        load_study("wdl-loses")


@pytest.mark.parametrize("name", NAMES)
def test_every_study_of_mlemo_is_whole(name: str) -> None:
    study = load_study(name)
    assert set(study.scales) == {"tiny", "small", "paper"}
    assert study.notes
    assert study.published
    metrics = MultiLabelMetrics(LabelSpace(("a", "b")))
    metrics.update(torch.tensor([[0.1, 0.9], [0.8, 0.3]]), torch.eye(2))
    assert {key.removeprefix("tuned_") for key in study.metrics.values()} <= set(metrics.compute())
    assert set(study.class_metrics.values()) <= set(metrics.per_class())
    assert study.expand("tiny")
    text = study.path.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w}])/\w+/", text), "a path of somebody's machine"


PAPERS = {"wdl": "000", "soft-losses": "002", "sigmoidf1": "003", "batch-selection": "004"}
PAPER_FOLDER = os.environ.get("MLEMO_PAPERS")


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"(?<![\d.])\d+\.\d+(?![\d.])", text)]


def holds(found: list[float], values: list[float]) -> bool:
    """Whether the values stand next to one another, in this order."""
    return any(found[start : start + len(values)] == values for start in range(len(found)))


def in_order(found: list[float], values: list[float]) -> bool:
    rest = iter(found)
    return all(value in rest for value in values)


@pytest.mark.skipif(PAPER_FOLDER is None, reason="MLEMO_PAPERS names no folder with the texts of the papers")
@pytest.mark.parametrize("name", NAMES)
def test_published_numbers_stand_in_the_papers(name: str) -> None:
    study = load_study(name)
    prefix = next(number for start, number in PAPERS.items() if name.startswith(start))
    (file,) = Path(str(PAPER_FOLDER)).glob(f"{prefix}_*.txt")
    text = file.read_text(encoding="utf-8")
    lines = [numbers(line.replace("F1", "F1 ")) for line in text.splitlines()]
    if name == "soft-losses":  # its columns are printed one after the other
        check_columns(study.published, numbers(text))
        return
    if name == "wdl-orders":  # orders are columns there
        rows: dict[tuple[str, str, str], list[float]] = {}
        for row in study.published:
            if row.table == "Table 3":
                for metric, value in row.values.items():
                    rows.setdefault((row.table, row.labels[0][1], metric), []).append(value)
        assert len(rows) == 13
        assert all(any(holds(line, values) for line in lines) for values in rows.values())
        return
    for row in study.published:
        values = list(row.values.values())
        assert any(in_order(line, values) for line in lines), row
    if name == "batch-selection":  # random and adaptive stand in turn
        for random, adaptive in list(pairwise(study.published))[::2]:
            both = [value for pair in zip(random.values.values(), adaptive.values.values()) for value in pair]
            assert any(in_order(line, both) for line in lines), random


def check_columns(rows: tuple[PublishedRow, ...], found: list[float]) -> None:
    columns: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        loss = dict(row.labels)["loss"] if row.of_class else ""
        for metric, value in row.values.items():
            column = columns.setdefault((row.table, loss, metric), [])
            column += [value, row.plus_minus[metric]] if row.plus_minus else [value]
    assert len(columns) == 18
    for key, values in columns.items():
        assert holds(found, values), (key, values)
