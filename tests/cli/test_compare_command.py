"""`mlemo compare` on predictions files, those of a real run included."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

import mlemo.metrics.intervals
from mlemo import cli
from mlemo.callbacks import Results
from mlemo.cli.compare import main
from mlemo.labels import LabelSpace
from mlemo.metrics import bootstrap_interval, compare, holm
from mlemo.reporting.comparison import Row, compare_runs
from mlemo.runs.predictions import Predictions, read_predictions, write_predictions

Maker = Callable[..., Any]
NAMES = ("joy", "anger", "fear")
QUICK = ["--resamples", "50"]


class Run:
    """A folder with predictions as a run leaves them: random gold labels, and decisions that are wrong at ``rate``."""

    def __init__(
        self, folder: Path, seed: int, rate: float, rows: int = 40, names: tuple[str, ...] = NAMES, masked: bool = False
    ) -> None:
        labels = len(names)
        generator = torch.Generator().manual_seed(99)
        self.gold = torch.rand(rows, labels, generator=generator) < 0.4
        self.mask = torch.rand(rows, labels, generator=generator) < (0.8 if masked else 2)
        self.gold &= self.mask
        generator.manual_seed(seed)
        self.decided = self.gold ^ (torch.rand(rows, labels, generator=generator) < rate)
        self.probabilities = (torch.rand(rows, labels, generator=generator) + self.decided) / 2
        folder.mkdir(parents=True)
        self.file = folder / "predictions_test.csv"
        ids = [f"0{row}" for row in range(rows)]
        tensors = (self.gold, self.mask, self.decided, self.probabilities)
        write_predictions(Predictions(self.file, LabelSpace(names), ids, *tensors))

    def change(self, row: int, column: str, value: str) -> None:
        table = pd.read_csv(self.file, dtype=str, keep_default_na=False)
        table.loc[row, column] = value
        table.to_csv(self.file, index=False)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Run]:
    """Four runs in the folder where the command is called."""
    monkeypatch.chdir(tmp_path)
    rates = {"plain-1": 0.3, "plain-2": 0.25, "better": 0.1, "other": 0.28}
    return {name: Run(tmp_path / name, seed, rate) for seed, (name, rate) in enumerate(rates.items())}


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    return " ".join(capsys.readouterr().err.split())


def by_name(rows: list[Row], metric: str = "jaccard") -> dict[str, Row]:
    return {row.system: row for row in rows if row.metric == metric}


def test_the_predictions_of_a_run_give_the_metrics_of_the_run(
    classifier: Maker, data: Maker, trainer: Maker, tmp_path: Path
) -> None:
    run = trainer(callbacks=Results())
    run.test(classifier(), datamodule=data(), verbose=False)
    file = next(tmp_path.rglob("predictions_test.csv"))
    results = json.loads(file.with_name("results_test.json").read_text())
    names = ["jaccard", "macro_f1", "hamming_loss", "label_ranking_ap", "micro_auroc"]
    predictions = read_predictions(file)
    assert predictions.rule == results["rule"] == "threshold 0.5"
    assert not predictions.mask.all()
    rows = main([str(file.parent), "--metrics", *names, *QUICK])
    assert {row.metric: row.value for row in rows} == pytest.approx({name: results[name] for name in names}, abs=1e-6)


def test_rows_hold_intervals_differences_and_corrected_p_values(runs: dict[str, Run]) -> None:
    rows = main(["plain-1", "better", "other", "--metrics", "jaccard", "macro_ap", "--seed", "3", *QUICK])
    assert [(row.metric, row.system) for row in rows] == [
        (metric, system) for metric in ("jaccard", "macro_ap") for system in ("plain-1", "better", "other")
    ]
    settings = {"resamples": 50, "seed": 3}
    for metric in ("jaccard", "macro_ap"):
        found = by_name(rows, metric)
        outputs = {name: run.decided if metric == "jaccard" else run.probabilities for name, run in runs.items()}
        p = []
        for name, row in found.items():
            gold = runs[name].gold
            low, value, high = bootstrap_interval(metric, outputs[name], gold, **settings)
            assert (row.low, row.value, row.high) == pytest.approx((low, value, high))
            assert (row.runs, row.sd) == (1, None)
            if name == "plain-1":
                assert (row.difference, row.difference_low, row.difference_high, row.p, row.p_holm) == (None,) * 5
                continue
            test = compare(metric, outputs[name], outputs["plain-1"], gold, **settings)
            assert (row.difference, row.difference_low, row.difference_high) == pytest.approx(
                (test.difference, test.low, test.high)
            )
            assert row.p == test.p
            p.append(test.p)
        assert [found["better"].p_holm, found["other"].p_holm] == holm(p)


def test_baseline_threshold_and_method(runs: dict[str, Run]) -> None:
    words = [
        "plain-1",
        "other",
        "--baseline",
        "other",
        "--threshold",
        "0.7",
        "--method",
        "randomization",
        "--seed",
        "2",
    ]
    rows = main([*words, "--resamples", "200"])
    gold = runs["other"].gold
    decided = [runs[name].probabilities >= 0.7 for name in ("plain-1", "other")]
    tests = {}
    for metric in ("jaccard", "micro_f1", "macro_f1"):
        found = by_name(rows, metric)
        tests[metric] = compare(metric, *decided, gold, method="randomization", resamples=200, seed=2)
        assert found["other"].difference is None
        assert found["plain-1"].difference == pytest.approx(tests[metric].difference)
        assert found["plain-1"].p == tests[metric].p
    assert len({test.p for test in tests.values()} - {1, 1 / 201}) > 1
    own = compare("jaccard", runs["plain-1"].decided, runs["other"].decided, gold, resamples=200)
    assert tests["jaccard"].difference != pytest.approx(own.difference)


@pytest.mark.parametrize(
    "seeds", ["plain=plain-*", "plain=plain-1,plain-2", "plain=plain-1,plain-2/predictions_test.csv"]
)
def test_seeds_of_a_system_are_averaged(seeds: str, runs: dict[str, Run], capsys: pytest.CaptureFixture[str]) -> None:
    found = by_name(main([seeds, "better", "--metrics", "jaccard", *QUICK]))
    both = torch.stack([runs[name].decided for name in ("plain-1", "plain-2")])
    gold = runs["better"].gold
    single = [bootstrap_interval("jaccard", run, gold, resamples=1)[1] for run in both]
    row = found["plain"]
    assert (row.runs, row.value, row.sd) == (2, pytest.approx(np.mean(single)), pytest.approx(np.std(single, ddof=1)))
    assert (row.low, row.value, row.high) == pytest.approx(bootstrap_interval("jaccard", both, gold, resamples=50))
    assert found["better"].difference == pytest.approx(found["better"].value - row.value)
    assert found["better"].sd is None
    printed = capsys.readouterr().out
    assert "plain (2)" in printed
    assert "50 resamples of 40 samples" in printed


def test_many_samples_and_labels_have_fewer_resamples_unless_a_number_is_given(
    runs: dict[str, Run], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = runs["plain-1"].gold.numel()
    for room, expected in ((300, 300), (199, 200)):
        monkeypatch.setattr(mlemo.metrics.intervals, "BUDGET", room * entries)
        (row,) = main(["plain-1", "--metrics", "jaccard"])
        printed = " ".join(capsys.readouterr().out.split())
        assert f"{expected} resamples of 40 samples" in printed
        assert f"{expected} resamples in place of 5,000" in printed
        own = bootstrap_interval("jaccard", runs["plain-1"].decided, runs["plain-1"].gold, resamples=expected)
        assert (row.low, row.value, row.high) == pytest.approx(own)
    main(["plain-1", "--metrics", "jaccard", "--resamples", "400"])
    printed = capsys.readouterr().out
    assert "400 resamples of 40 samples" in printed
    assert "in place of" not in printed


def test_notes_say_which_chance_is_not_in_the_intervals(
    runs: dict[str, Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["plain=plain-*", "better", "--metrics", "jaccard", *QUICK])
    printed = " ".join(capsys.readouterr().out.split())
    assert "resamples of 40 samples, and the variance between the runs of a system (Student's t)" in printed
    assert "one run each, without the variance between seeds: better" in printed
    main(["plain-1", "other", "--metrics", "jaccard", *QUICK])
    printed = " ".join(capsys.readouterr().out.split())
    assert "Student" not in printed
    assert "one run each, without the variance between seeds: plain-1, other" in printed
    assert "fewer than 10 positives" not in printed
    rare = Run(tmp_path / "rare", 3, 0.2)
    table = pd.read_csv(rare.file)
    table["gold:joy"] = [1] * 9 + [0] * 31
    table["gold:anger"] = table["gold:fear"] = 0
    table.to_csv(rare.file, index=False)
    main(["rare", "--metrics", "jaccard", *QUICK])
    printed = " ".join(capsys.readouterr().out.split())
    assert "labels with fewer than 10 positives" in printed
    assert "uncertain: joy (9), anger (0), fear (0)" in printed


def test_a_quoted_glob_is_one_system_and_folders_may_have_any_name(runs: dict[str, Run], tmp_path: Path) -> None:
    assert [(row.system, row.runs) for row in main(["plain-*", "--metrics", "jaccard", *QUICK])] == [("plain-*", 2)]
    Run(tmp_path / "lr=0.1,wd=0" / "version_0", 5, 0.2)
    words = ["plain-1", "lr=0.1,wd=0/version_0", "lr=0.1,wd=0/*", "--metrics", "jaccard", *QUICK]
    assert [row.system for row in main(words)] == ["plain-1", "lr=0.1,wd=0/version_0", "lr=0.1,wd=0/*"]


def test_entries_that_are_not_annotated_do_not_count(tmp_path: Path) -> None:
    masked = [Run(tmp_path / name, seed, 0.3, masked=True) for seed, name in enumerate("ab")]
    words = [str(tmp_path / name) for name in "ab"]
    row = by_name(main([*words, *QUICK]))[words[1]]
    decided = [run.decided for run in reversed(masked)]
    test = compare("jaccard", *decided, masked[0].gold, masked[0].mask, resamples=50)
    assert (row.difference, row.p) == (pytest.approx(test.difference), test.p)
    for name in NAMES:
        masked[1].change(4, f"gold:{name}", "")
    with pytest.raises(ValueError, match="row 5: annotated"):
        compare_runs({name: [read_predictions(tmp_path / name / "predictions_test.csv")] for name in "ab"})


def test_the_table_is_written_by_suffix(
    runs: dict[str, Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["a_b|c=plain-*", "better", "--metrics", "jaccard", "macro_ap", *QUICK]
    files = {suffix: tmp_path / "new" / f"table{suffix}" for suffix in (".md", ".csv", ".json", ".tex")}
    for file in files.values():
        rows = main([*words, "--output", str(file)])
    assert "written" in capsys.readouterr().out
    lines = files[".md"].read_text().splitlines()
    assert lines[0] == "| metric | system (runs) | value | interval | sd | diff | interval | p | p Holm |"
    assert len({line.replace("\\|", "").count("|") for line in lines[:6]}) == 1
    assert lines[2].startswith("| jaccard | a_b\\|c (2) | ")
    assert f"| {rows[1].value:.3f} | [{rows[1].low:.3f}, {rows[1].high:.3f}] |" in lines[3]
    assert r"- diff: from a_b\|c; p: two-sided, paired bootstrap; Holm: over the comparisons of a metric" in lines
    table = pd.read_csv(files[".csv"])
    assert list(table["value"]) == pytest.approx([row.value for row in rows])
    assert table["p_holm"].isna().tolist() == [True, False, True, False]
    content = json.loads(files[".json"].read_text())
    assert content["rows"][1]["p"] == rows[1].p
    assert content["rows"][0]["p"] is None
    assert content["settings"]["files"]["a_b|c"] == ["plain-1/predictions_test.csv", "plain-2/predictions_test.csv"]
    assert content["settings"]["baseline"] == "a_b|c"
    tex = files[".tex"].read_text()
    assert r"jaccard & a\_b|c (2) & " in tex
    assert r"macro\_ap & better (1) & " in tex
    assert tex.count(r" \\") == 5
    assert r"\begin{tabular}{llrrrrrrr}" in tex


def test_a_single_system_has_no_comparison(runs: dict[str, Run], tmp_path: Path) -> None:
    main(["better", "--metrics", "jaccard", "--output", str(tmp_path / "t.md"), *QUICK])
    assert (tmp_path / "t.md").read_text().splitlines()[0] == "| metric | system | value | interval |"


def test_the_rule_is_printed_and_a_metric_without_value_is_null(
    runs: dict[str, Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("better/results_test.json").write_text(json.dumps({"rule": "one threshold for jaccard"}))
    main(["better", "--metrics", "jaccard", *QUICK])
    assert "better: decided by one threshold for jaccard" in capsys.readouterr().out
    main(["better", "--metrics", "jaccard", "--threshold", "0.5", *QUICK])
    assert "decided at 0.5" in capsys.readouterr().out
    one = Run(tmp_path / "one", 0, 0, rows=2, names=("joy",))
    for row in range(2):
        one.change(row, "gold:joy", "1")
    main(["one", "--metrics", "macro_ap", "--output", str(tmp_path / "t.json"), *QUICK])
    assert json.loads((tmp_path / "t.json").read_text())["rows"][0]["value"] is None


def test_validation_predictions(runs: dict[str, Run]) -> None:
    run = runs["better"]
    run.file.rename(run.file.with_name("predictions_val.csv"))
    assert by_name(main(["better", "--split", "val", *QUICK]))["better"].runs == 1


def swap_rows(run: Run) -> None:
    table = pd.read_csv(run.file, dtype=str, keep_default_na=False)
    pd.concat([table.iloc[:3], table.iloc[[4, 3]], table.iloc[5:]]).to_csv(run.file, index=False)


def invert_row(run: Run) -> None:
    for column, on in enumerate(run.gold[6].tolist()):
        run.change(6, f"gold:{NAMES[column]}", str(int(not on)))


def drop_last(run: Run) -> None:
    run.file.write_text("\n".join(run.file.read_text().splitlines()[:-1]) + "\n")


def rename_label(run: Run) -> None:
    run.file.write_text(run.file.read_text().replace("anger", "rage"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (swap_rows, "better/predictions_test.csv, row 4: id '04', but '03' in plain-1/predictions_test.csv"),
        (drop_last, "better/predictions_test.csv has 39 rows, plain-1/predictions_test.csv 40"),
        (rename_label, "has the labels ['joy', 'rage', 'fear'], plain-1/predictions_test.csv ['joy', 'anger', 'fear']"),
        (invert_row, "better/predictions_test.csv, row 7: gold ["),
        (
            lambda run: run.change(5, "probability:fear", "1.5"),
            "better/predictions_test.csv: probabilities must lie in [0, 1], found",
        ),
        (lambda run: run.file.write_text("a,b\n1,2\n"), "expected columns id, gold:<label>, decided:<label> and"),
        (lambda run: run.file.write_text(""), "better/predictions_test.csv is not a table of predictions"),
        (
            lambda run: run.file.unlink(),
            "better/predictions_test.csv does not exist; `mlemo test --ckpt_path FILE` writes",
        ),
    ],
)
def test_files_that_do_not_fit_are_refused(
    damage: Callable[[Run], None], message: str, runs: dict[str, Run], capsys: pytest.CaptureFixture[str]
) -> None:
    damage(runs["better"])
    assert message in refused(["plain-1", "better", *QUICK], capsys)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["plain-1", "--metrics", "jacard"], "unknown metric 'jacard'; did you mean 'jaccard'?"),
        (["plain-1", "--baseline", "best"], "unknown baseline 'best'; the systems are plain-1"),
        (["nowhere-*"], "no run 'nowhere-*'"),
        (["plain-1", "plain-1"], "two systems are called 'plain-1'; give names, as in NAME=RUN"),
        (["plain-1", "--output", "table.docx"], "--output must end in .md, .csv, .json, .tex, found table.docx"),
        (
            ["plain-*", "better", "--method", "randomization"],
            "randomization compares single runs, but plain-* has several",
        ),
        (["plain-1", "--threshold", "5"], "threshold must lie in [0, 1], found 5"),
        (["plain-1", "--resamples", "0"], "resamples must be at least 1, found 0"),
        (["plain-1", "--confidence", "95"], "confidence must lie between 0 and 1, found 95"),
    ],
)
def test_command_lines_that_cannot_be_understood(
    words: list[str], message: str, runs: dict[str, Run], capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(words, capsys)


def test_it_is_a_command_of_mlemo(runs: dict[str, Run], capsys: pytest.CaptureFixture[str]) -> None:
    rows: Any = cli.main(["compare", "better", "--metrics", "jaccard", *QUICK])
    assert rows[0].value == pytest.approx(
        bootstrap_interval("jaccard", runs["better"].decided, runs["better"].gold, resamples=1)[1]
    )
    assert isinstance(runs["better"].gold, Tensor)
    cli.main(["--help"])
    assert "mlemo compare" in capsys.readouterr().out
