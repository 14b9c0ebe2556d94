"""Studies as data: what is refused, and what comes out of them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlemo.experiments.published import PublishedTest
from mlemo.experiments.study import Figure
from mlemo.experiments.study_file import load_study
from mlemo.thresholds import PerClassThreshold

STUDY: dict[str, Any] = {
    "title": "Does it matter?",
    "paper": "Nobody (2020)",
    "metrics": {"F": "macro_f1"},
    "scales": {
        "tiny": {"set": {"a": 1}, "seeds": [0, 1]},
        "small": {"set": {"dir": "${data_dir}/sub folder"}, "seeds": [7], "variables": {"width": 3}},
    },
    "varies": {
        "loss": {"BCE": {"loss": "B"}, "MSE": {"small": {"loss": "M", "width": "${width}"}}},
        "order": {"up": {"up": 1}, "down": {"up": 0}},
    },
    "published": [{"table": "Table 1", "unit": "percent", "rows": [{"loss": "BCE", "F": 50.5}]}],
}
DRAWN: dict[str, Any] = {
    "published_tests": [{"table": "Table 2", "rows": [{"threshold": "best", "order": "up", "F": 0.04}]}],
    "class_metrics": {"F1": "f1"},
    "rules": {"half": {"class_path": "FixedThreshold"}, "best": {"class_path": "PerClassThreshold"}},
    "figures": [
        {"kind": "point", "title": "F", "source": "Fig. 1", "metric": "F", "across": "loss", "series": "threshold",
         "where": {"order": "up", "loss": ["BCE"]}},
        {"kind": "class_gain", "title": "Gain", "metric": "F1", "across": "loss", "baseline": "BCE"},
        {"kind": "curve", "title": "Loss", "scalars": ["train/loss"], "against": "step"},
    ],
}  # fmt: skip


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


def test_base_files_come_first_and_later_settings_over_them(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "one.yaml").write_text(
        "model:\n  class_path: M\n  init_args: {width: 3, name: '${name} for 5$'}\n"
    )
    (tmp_path / "base" / "two.yaml").write_text("trainer: {callbacks: [{class_path: A, init_args: {k: 1}}]}\n")
    same = {"set": {"trainer.callbacks+": [{"class_path": "B", "init_args": {"k": 2}}, "C"]}}
    content = STUDY | {
        "scales": {"tiny": {"base": ["base/one.yaml", "base/two.yaml"], "set": {"model.width": 4}, "seeds": [7],
                            "seed_set": {"fold": "${seed}"}}},
        "varies": {"loss": {"BCE": same, "MSE": {"tiny": {"base": "base/two.yaml"}}, "ASL": "no runs", "none": {}}},
    }  # fmt: skip
    runs = load_study(write(tmp_path, content)).expand("tiny", {"name": "mine"})
    base = ("--model=M", "--model.width=3", "--model.name=mine for 5$")
    callback = '--trainer.callbacks=[{"class_path":"A","init_args":{"k":1}}]'
    assert {run.name: run.words for run in runs} == {
        "BCE, seed 7": (*base, callback, "--model.width=4", "--trainer.callbacks+=B", "--trainer.callbacks.k=2",
                        "--trainer.callbacks+=C", "--fold=7"),
        "MSE, seed 7": (*base, callback, "--model.width=4", callback, "--fold=7"),
        "none, seed 7": (*base, callback, "--model.width=4", "--fold=7"),
    }  # fmt: skip
    places = [setting.place.removeprefix(f"{tmp_path}/") for setting in runs[0].settings[:5]]
    assert places[1] == "base/one.yaml:3: model.init_args.width"
    assert places[3] == "base/two.yaml:1: trainer.callbacks"
    assert places[4].endswith(": scales.tiny.set.model.width")


def test_scales_have_free_names(tmp_path: Path) -> None:
    scales = STUDY["scales"] | {"our cluster": {"set": {"b": 1}, "seeds": [3]}}
    varies = STUDY["varies"] | {"loss": {"BCE": {"loss": "B"}, "MSE": {"our cluster": {"loss": "M"}}}}
    study = load_study(write(tmp_path, STUDY | {"scales": scales, "varies": varies}))
    assert [run.words[:2] for run in study.expand("our cluster")[::2]] == [("--b=1", "--loss=B"), ("--b=1", "--loss=M")]


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
        (["colour"], 1, "colour: unknown key; there are cases, "),
        (["metrics"], None, "metrics: expected a mapping, found None"),
        (["scales", "huge"], {}, "scales.huge: expected a mapping, found {}"),
        (["varies", "loss", "MSE"], {"tiny": {}, "large": {}}, "varies.loss.MSE.large: no scale, beside tiny"),
        (["varies", "loss", "MSE"], None, "varies.loss.MSE: expected settings, {} for none, or 'no runs'"),
        (["scales", "tiny", "seeds"], [1, "2"], r"scales.tiny.seeds: expected a list of integers from 0"),
        (["scales", "tiny", "seeds"], [1, 1], "scales.tiny.seeds: a seed occurs twice"),
        (["scales", "tiny", "words"], "--a=1", "scales.tiny.words: expected settings .* the words '--a=1'; write"),
        (["scales", "tiny", "sets"], {}, "scales.tiny.sets: unknown key; did you mean set or seeds"),
        (["scales", "tiny", "base"], "no.yaml", "scales.tiny.base: there is no file .*no.yaml"),
        (["varies", "loss", "BCE"], 3, "varies.loss.BCE: expected a mapping, found 3"),
        (["varies", "loss", "BCE"], "--loss=B", "varies.loss.BCE: expected settings .* found the words '--loss=B'"),
        (["cases"], [{"loss": "BCE"}], r"cases\[0\]: no label of order"),
        (["cases"], [{"loss": "BCE", "order": "left"}], r"cases\[0\].order: unknown label 'left', expected one of up"),
        (["compare"], "size", "compare: unknown label 'size', expected one of loss, order, threshold"),
        (["compare"], ["loss"], r"compare: unknown label \['loss'\], expected one of loss, order, threshold"),
        (["published", 0, "unit"], "cm", r"published\[0\].unit: expected percent"),
        (["published", 0, "rows", 0, "loss"], "ASL", r"published\[0\].rows\[0\].loss: unknown label 'ASL'"),
        (["published", 0, "rows", 0, "G"], 1.0, r"published\[0\].rows\[0\].G: unknown key"),
        (["published", 0, "rows", 0, "F"], "1", r"published\[0\].rows\[0\].F: expected a number, found '1'"),
        (["figures", 0, "kind"], "pie", r"figures\[0\].kind: expected one of point, box, .*, found 'pie'"),
        (["figures", 0, "scalars"], ["a"], r"figures\[0\].scalars: unknown key"),
        (["figures", 0, "across"], "size", r"figures\[0\].across: unknown label 'size', expected one of loss, order"),
        (["figures", 0, "metric"], "G", r"figures\[0\].metric: unknown label 'G', expected one of F"),
        (["figures", 0, "where"], {"order": "left"}, r"figures\[0\].where.order: unknown label 'left'"),
        (["figures", 0, "title"], None, r"figures\[0\].title: expected text, found None"),
        (["figures", 1, "baseline"], None, r"figures\[1\].baseline: is missing, and a class_gain needs it"),
        (["figures", 1, "metric"], "F", r"figures\[1\].metric: unknown label 'F', expected one of F1"),
        (["figures", 2, "scalars"], [], r"figures\[2\].scalars: is missing, and a curve needs it"),
        (["figures", 2, "against"], "hours", r"figures\[2\].against: expected epoch, step or seconds, found 'hours'"),
        (
            ["published_tests", 0, "rows", 0],
            {"order": "up", "F": 0.1},
            r"published_tests\[0\].rows\[0\]: expected a label of threshold and of one other setting at most",
        ),
        (
            ["published_tests", 0, "rows", 0, "loss"],
            "BCE",
            r".*rows\[0\]: expected a label of threshold and of one other",
        ),
        (["published_tests", 0, "rows", 0, "order"], "left", r".*rows\[0\].order: unknown label 'left'"),
        (["published_tests", 0, "rows", 0, "F"], 1.5, r".*rows\[0\].F: expected a p-value from 0 to 1, found 1.5"),
        (["published_tests", 0, "rows", 0, "G"], 0.5, r"published_tests\[0\].rows\[0\].G: unknown key"),
        (["rules", "best", "class_path"], "Best", r"rules.best: mlemo.thresholds has no rule 'Best'"),
        (["rules", "best", "init_args"], {"size": 1}, r"rules.best: .* unexpected keyword argument 'size'"),
        (["varies", "threshold"], {"low": {}}, "rules: the setting threshold varies already"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_key(keys: list[Any], value: Any, message: str, tmp_path: Path) -> None:
    content = copy.deepcopy(STUDY | DRAWN)
    inner: Any = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    with pytest.raises(ValueError, match=r"mine\.yaml:\d+: " + message):
        load_study(write(tmp_path, content))


def test_figures_and_rules_are_read(tmp_path: Path) -> None:
    content = STUDY | copy.deepcopy(DRAWN)
    content["rules"]["best"]["init_args"] = {"cross_fit": 3}
    content["published"] = [{"table": "Table 1", "unit": "1", "rows": [{"loss": "BCE", "threshold": "best", "F": 0.5}]}]
    study = load_study(write(tmp_path, content))
    assert study.figures == (
        Figure("point", "F", "Fig. 1", "F", "loss", "threshold", {"order": ("up",), "loss": ("BCE",)}),
        Figure("class_gain", "Gain", metric="F1", across="loss", baseline="BCE"),
        Figure("curve", "Loss", scalars=("train/loss",), against="step"),
    )
    rule = study.rules["best"].build()
    assert isinstance(rule, PerClassThreshold)
    assert rule.cross_fit == 3
    assert study.rules["best"].build() is not rule
    assert study.published[0].labels == (("loss", "BCE"), ("threshold", "best"))
    assert study.published_tests == (
        PublishedTest("Table 2", "threshold", "half", "best", ("order", "up"), {"F": 0.04}),
    )
    # a rule makes no run of its own
    assert [run.words for run in study.expand("tiny")] == [
        run.words for run in load_study(write(tmp_path, STUDY)).expand("tiny")
    ]


def test_the_compared_setting_is_the_last_or_the_one_that_the_file_names_and_changes_no_run(tmp_path: Path) -> None:
    plain = load_study(write(tmp_path, STUDY))
    assert plain.compare == "order"
    assert load_study(write(tmp_path, STUDY | DRAWN)).compare == "threshold"
    study = load_study(write(tmp_path, STUDY | DRAWN | {"compare": "loss", "published_tests": []}))
    assert study.compare == "loss"
    assert study.expand("tiny") == plain.expand("tiny")
    assert study.comparing("threshold").compare == "threshold"
    assert study.comparing("order").expand("tiny") == plain.expand("tiny")
    message = "no setting 'threshold' to compare; it has loss, order$"
    with pytest.raises(ValueError, match=rf"mine\.yaml: {message}"):
        plain.comparing("threshold")


def test_a_part_of_a_study_needs_the_variables_of_that_part_only(tmp_path: Path) -> None:
    study = load_study(write(tmp_path, STUDY))
    part = study.only({"order": ["down"], "seed": ["1"]})
    assert [run.name for run in part.expand("tiny")] == ["BCE, down, seed 1"]
    names = {run.name for run in study.expand("tiny")}
    assert {run.name for label in ("up", "down") for run in study.only({"order": [label]}).expand("tiny")} == names

    variables = {"set": {"x": 1}, "seeds": [0]}
    two = {"one": {"tiny": {"file": "${one_dir}"}}, "two": {"tiny": {"file": "${two_dir}"}}}
    study = load_study(
        write(tmp_path, STUDY | {"scales": {"tiny": variables}, "varies": {"corpus": two}, "published": []})
    )
    (run,) = study.only({"corpus": ["one"]}).expand("tiny", {"one_dir": "a"})
    assert run.words[:2] == ("--x=1", "--file=a")


@pytest.mark.parametrize(
    ("chosen", "rows", "tests", "figures"),
    [
        ({"seed": ["0"]}, ["BCE", "MSE"], 1, ["F", "Gain", "Loss"]),
        ({"order": ["up"]}, ["BCE", "MSE"], 1, ["F", "Gain", "Loss"]),
        ({"order": ["down"]}, ["BCE", "MSE"], 0, ["Gain", "Loss"]),
        ({"loss": ["BCE"]}, ["BCE"], 0, ["F", "Gain", "Loss"]),  # the test is over all losses
        ({"loss": ["MSE"]}, ["MSE"], 0, ["Gain", "Loss"]),
    ],
)
def test_a_part_keeps_what_was_published_of_it_and_its_figures(
    chosen: dict[str, list[str]], rows: list[str], tests: int, figures: list[str], tmp_path: Path
) -> None:
    printed = [{"loss": "BCE", "F": 50.5}, {"loss": "MSE", "F": 40.5}]
    published = [{"table": "Table 1", "unit": "percent", "rows": printed}]
    part = load_study(write(tmp_path, STUDY | DRAWN | {"published": published})).only(chosen)
    assert [dict(row.labels)["loss"] for row in part.published] == rows
    assert len(part.published_tests) == tests
    assert [figure.title for figure in part.figures] == figures


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"losses": ["BCE"]}, "no setting 'losses'; it has loss, order, seed"),
        ({"loss": ["BCE", "bce"]}, "loss has no 'bce'; it has BCE, MSE"),
        ({"seed": ["8"]}, "seed has no '8'; it has 0, 1, 7"),
    ],
)
def test_a_part_that_is_not_there_is_named(chosen: dict[str, list[str]], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        load_study(write(tmp_path, STUDY)).only(chosen)


def test_variables_without_value_or_use_are_named(tmp_path: Path) -> None:
    study = load_study(write(tmp_path, STUDY))
    message = r"mine\.yaml:\d+: scales.small.set.dir: needs a value of data_dir; give --set data_dir="
    with pytest.raises(ValueError, match=message):
        study.expand("small")
    with pytest.raises(ValueError, match=r"no run uses datadir; used are \['seed'\]"):
        study.expand("tiny", {"datadir": "x"})
    with pytest.raises(ValueError, match="no scale 'paper'; it has tiny, small"):
        study.expand("paper")


def test_a_misspelt_study_is_answered_with_the_nearest() -> None:
    with pytest.raises(FileNotFoundError, match="no study 'wdl-loses'; did you mean 'wdl-losses'"):
        load_study("wdl-loses")


def test_the_values_that_a_run_had_are_read_back_from_its_words(tmp_path: Path) -> None:
    settings = {"dir": "${dir}", "both": "${rate}/${dir}", "cost": "5$$", "seed": "${seed}", "rate": 0.5}
    scales = STUDY["scales"] | {"tiny": {"set": settings, "seeds": [1, 2]}}
    study = load_study(write(tmp_path, STUDY | {"scales": scales}))
    run = study.expand("tiny", {"dir": "/a (b)*", "rate": "0.1"})[1]
    assert study.values_in(run.words, run.labels, run.seed, "tiny") == {"dir": "/a (b)*", "rate": "0.1"}
    assert study.values_in(run.words, run.labels, 1, "tiny") is None
    assert study.values_in(run.words[:-1], run.labels, run.seed, "tiny") is None
    same = ["--rate=0.50" if word == "--rate=0.5" else word for word in run.words]
    assert study.values_in(same, run.labels, run.seed, "tiny") == {"dir": "/a (b)*", "rate": "0.1"}
    for place, word in ((1, "--both=0.1//c"), (2, "--cost=6$"), (4, "--rate=0.51")):
        other = [*run.words[:place], word, *run.words[place + 1 :]]
        assert study.values_in(other, run.labels, run.seed, "tiny") is None
