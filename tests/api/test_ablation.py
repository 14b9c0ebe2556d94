"""Ablations: the addresses of the command line, one engine with ``mlemo reproduce``, interruptions and failures."""

from __future__ import annotations

import json
import os
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from tiny_study import study

from mlemo.api import Ablation, Experiment, TrainedRun, ablate
from mlemo.api import ablation as module
from mlemo.cli import main
from mlemo.experiments import engine
from mlemo.experiments.progress import ProgressDisplay
from mlemo.experiments.runs import HARDWARE, address_of, data_checksums
from mlemo.inference import Classified
from mlemo.losses import BinaryCrossEntropy, WeightedDifferenceLoss
from mlemo.training.resolve import resolve

from .conftest import BASE, VARIANTS, WORDS


def addresses(planned: Ablation) -> list[str]:
    return [run.address for run in planned.plan]


def test_addresses_are_those_of_the_command_line_however_a_variant_is_given(ablation: Ablation, tmp_path: Path) -> None:
    expected, configs = [], []
    for own in (
        "--model.loss=BinaryCrossEntropy",
        "--model.loss=WeightedDifferenceLoss --model.loss.permutation=exact",
    ):
        for seed in (42, 43):
            config = resolve([*HARDWARE, *WORDS.split(), *own.split(), f"--seed_everything={seed}"])
            configs.append(config)
            expected.append(address_of(config, data_checksums(config)))
    assert addresses(ablation) == expected
    for run, config in zip(ablation.plan, configs):
        assert {**run.config, "trainer": None} == {**config, "trainer": None}
        assert run.config["trainer"] == resolve([*HARDWARE, *run.words])["trainer"]
    given: dict[str, dict[str, Any]] = {
        "a class": {"model.loss": BinaryCrossEntropy},
        "an object": {"model.loss": WeightedDifferenceLoss(permutation="exact")},
    }
    assert addresses(ablate(Experiment(BASE), given, seeds=[42, 43], folder=tmp_path)) == expected
    given = {
        "a class with arguments": {"model.loss": partial(BinaryCrossEntropy)},
        "a mapping": {"model": {"init_args": {"loss": {"class_path": "mlemo.losses.WeightedDifferenceLoss",
                                                       "init_args": {"permutation": "exact"}}}}},
    }  # fmt: skip
    base = Experiment(BASE, {"model.loss": WeightedDifferenceLoss(order=3)}, max_epochs=2)
    assert addresses(ablate(base, given, seeds=2, folder=tmp_path))[:2] == expected[:2]
    assert addresses(ablate(BASE, given, seeds=2, folder=tmp_path)) == expected


def test_reproduce_finds_the_runs_done_and_the_ablation_those_of_reproduce(
    ablation: Ablation, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    varies = {"loss": {"cross-entropy": {"model.loss": "BinaryCrossEntropy"}}}
    scales = {"tiny": {"set": BASE, "seeds": [42, 43]}}
    outcome = main(["reproduce", study(tmp_path, scales=scales, varies=varies), "--scale=tiny",
                    f"--folder={ablation.folder}"])  # fmt: skip
    assert list(outcome.records) == addresses(ablation)[:2]  # type: ignore[attr-defined]
    assert "2 of 2 runs are done already" in capsys.readouterr().out
    again = ablate(BASE, {"other name": VARIANTS["WDL1"]}, seeds=2, folder=ablation.folder)
    assert "2 done, 0 to do" in repr(again)
    times = {path: path.stat().st_mtime_ns for path in ablation.folder.glob("runs/*/*")}
    again.run()
    assert {path: path.stat().st_mtime_ns for path in ablation.folder.glob("runs/*/*")} == times


def test_what_a_run_gives(ablation: Ablation) -> None:
    run = ablation["WDL1"][0]
    assert [own.name for own in ablation["WDL1"]] == ["WDL1, seed 42", "WDL1, seed 43"]
    assert run.config["model"]["init_args"]["loss"]["init_args"]["permutation"] == "exact"
    assert run.config["seed_everything"] == run.config["data"]["init_args"]["seed"] == 42
    results = run.results()
    assert f"macro_f1 {results['tuned_macro_f1']:.4f}" in repr(run)
    found = run.classifier("I am happy")
    assert isinstance(found, Classified)
    assert run.classifier is run.classifier
    frame, texts = run.predictions(), run.texts()
    assert texts is not None
    assert list(frame.index) == list(texts.index)
    for text, (_, row) in zip(texts[:3], frame["probability"].iterrows()):
        assert run.classifier(text).probabilities == pytest.approx(row.to_dict(), abs=1e-5)
    micro = (frame["gold"] & frame["decided"]).to_numpy().sum() * 2
    micro /= frame["gold"].to_numpy().sum() + frame["decided"].to_numpy().sum()
    assert micro == pytest.approx(results["tuned_micro_f1"])


def test_how_it_stands(ablation: Ablation, tmp_path: Path) -> None:
    assert repr(ablation) == f"2 variants × 2 seeds, 4 runs in {ablation.folder}: 4 done, 0 to do"
    more = ablate(BASE, {**VARIANTS, "again": VARIANTS["BCE"], "new": {"trainer.max_epochs": 3}}, seeds=2,
                  folder=ablation.folder)  # fmt: skip
    assert "4 variants × 2 seeds, 6 different runs" in repr(more)
    assert "4 done, 2 to do; about " in repr(more)
    assert more.status().loc["new"].tolist() == ["to do", "to do"]
    assert more.status().loc["again"].tolist() == ["done", "done"]
    html = more._repr_html_()
    assert html.count(">done<") == 6
    assert '<th scope="row" dir="auto">again</th>' in html
    assert list(more) == more._ipython_key_completions_() == ["BCE", "WDL1", "again", "new"]
    with pytest.raises(FileNotFoundError, match="new, seed 42 is not finished"):
        more["new"][0].predictions()
    with pytest.raises(FileNotFoundError, match="new, seed 42 is not finished"):
        _ = more["new"][0].classifier
    assert "not finished" in repr(more["new"][0])
    assert "time unknown" in repr(ablate(BASE, VARIANTS, seeds=1, folder=tmp_path))
    with pytest.raises(ValueError, match=r"no run is finished in .*; run\(\) trains them"):
        ablate(BASE, VARIANTS, seeds=1, folder=tmp_path).table()


class Interrupting(ProgressDisplay):
    """Ends the ablation as the end of a kernel does, as soon as there is a checkpoint."""

    def waiting(self) -> None:
        if list(self._folder.glob("runs/*/checkpoints/last.ckpt")):
            raise KeyboardInterrupt


@pytest.mark.skipif("MLEMO_LONG" not in os.environ, reason="it trains for a minute; set MLEMO_LONG")
def test_an_interrupted_ablation_goes_on_and_ends_as_an_unbroken_one(
    ablation: Ablation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = Experiment(BASE, {"data.size": 256}, max_epochs=6)
    settings: Any = {"variants": {"BCE": VARIANTS["BCE"]}, "seeds": [1]}
    whole = ablate(base, **settings, folder=tmp_path / "whole")
    whole.run()
    broken = ablate(base, **settings, folder=tmp_path / "broken")
    with monkeypatch.context() as patch:
        patch.setattr(engine, "POLL", 0.005)
        patch.setattr(module, "progress_display", lambda *given: Interrupting(*_quiet(given)))
        with pytest.raises(KeyboardInterrupt):
            broken.run()
    assert broken.status().loc["BCE", 1] == "interrupted"
    assert not broken["BCE"][0].is_done
    broken.run()
    (first,), (second,) = whole["BCE"], broken["BCE"]
    records = [json.loads((run.folder / "record.json").read_text()) for run in (first, second)]
    assert [record["resumed"] for record in records] == [False, True]
    assert records[0]["results"] == records[1]["results"]
    assert first.predictions().equals(second.predictions())


def _quiet(given: tuple[Any, ...]) -> tuple[Any, ...]:
    from rich.console import Console

    return (Console(quiet=True), *given)


@pytest.mark.skipif("MLEMO_LONG" not in os.environ, reason="it trains for a minute; set MLEMO_LONG")
def test_a_failing_variant_is_reported_at_the_end_and_the_others_go_on(
    tmp_path: Path, breaking: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    variants = {"broken": {"trainer.callbacks+": import_module("breaking").Break}, "whole": VARIANTS["BCE"]}
    made = ablate(BASE, variants, seeds=[1], folder=tmp_path / "runs")
    made.run()
    lines = capsys.readouterr().out
    assert lines.index("whole, seed 1: jaccard") < lines.index("failed: broken, seed 1; run(retry_failed=True)")
    assert lines.rstrip().endswith("RuntimeError: the sky fell")
    assert made.status()[1].to_dict() == {"broken": "failed", "whole": "done"}
    assert "1 done, 1 failed, 0 to do" in repr(made)
    assert made.table().index.tolist() == ["whole"]
    with pytest.raises(ValueError, match="only 'whole' has a finished run"):
        made.forest("macro_f1")
    with pytest.raises(ValueError, match="no run of the baseline 'broken' is finished"):
        made.differences("macro_f1", baseline="broken")
    breaking.unlink()
    made.run(retry_failed=True)
    assert "2 done, 0 to do" in repr(made)
    made["broken"][0].classifier("a class of one's own is trusted, as the settings name it")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model.featurs": "Tfidf"}, "variant 'x': model.featurs: .*did you mean features"),
        ({"model.loss": "BinaryCrossEntrop"}, "no class 'BinaryCrossEntrop'; did you mean BinaryCrossEntropy"),
        ({"modell.loss": "BinaryCrossEntropy"}, "no setting 'modell.loss'; did you mean model"),
        ({"model.width": "wide"}, "variant 'x': model.*"),
        ({"trainer.devices": -1}, "variant 'x': .*devices"),
        ({"model.loss": object()}, "variant 'x': model.loss: what the object was made with cannot be read"),
    ],
)
def test_a_wrong_setting_is_named_with_the_nearest_one_before_anything_runs(
    settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        ablate(BASE, {"base": {}, "x": settings}, seeds=[1], folder=tmp_path)
    assert "--help" not in str(raised.value)


def test_a_class_of_the_notebook_itself_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(BinaryCrossEntropy):
        pass

    import __main__

    Mine.__module__, Mine.__qualname__ = "__main__", "Mine"
    monkeypatch.setattr(__main__, "Mine", Mine, raising=False)
    with pytest.raises(ValueError, match=r"variant 'mine': a class is defined in the notebook .* such as mine.py"):
        ablate(BASE, {"mine": {"model.loss": Mine()}}, seeds=1, folder=tmp_path)


def test_wrong_arguments(ablation: Ablation, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one variant"):
        ablate(BASE, {}, folder=tmp_path)
    for seeds in (0, [], [1, 1], [-1], [True]):
        with pytest.raises(ValueError, match="seed"):
            ablate(BASE, VARIANTS, seeds=seeds, folder=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected the name of a variant and its settings"):
        ablate(BASE, {"x": "model.loss"}, folder=tmp_path)  # type: ignore[dict-item]
    with pytest.raises(KeyError, match="did you mean 'WDL1'"):
        ablation["WDL"]
    with pytest.raises(FileNotFoundError, match=r"did you mean configs/experiment/small_bert_wdl.yaml"):
        ablate("configs/experiment/smal_bert_wdl.yaml", VARIANTS)
    missing = ablate(Experiment(BASE, data=partial_of_files(tmp_path)), {"x": {}}, seeds=1, folder=tmp_path)
    with pytest.raises(ValueError, match=r"data_dir .*nowhere is not a folder"):
        missing.run()


def partial_of_files(folder: Path) -> Any:
    from mlemo.data import SemEval2018

    return SemEval2018(data_dir=folder / "nowhere")


def test_seeds_count_from_that_of_the_base(tmp_path: Path) -> None:
    planned = ablate(Experiment(BASE, seed=7), {"x": {}}, seeds=2, folder=tmp_path)
    assert [run.seed for run in planned.plan] == [7, 8]
    assert isinstance(planned["x"][0], TrainedRun)
