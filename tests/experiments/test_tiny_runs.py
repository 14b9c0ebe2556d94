"""The tiny runs of the studies that come with mlemo: each study, and each kind of words in them, is trained once."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mlemo import training
from mlemo.callbacks import EvaluationFigures
from mlemo.experiments.rules import rule_scores
from mlemo.experiments.study_file import DEFINITIONS, load_study

STUDIES = {file.stem: load_study(file.stem) for file in sorted(DEFINITIONS.glob("*.yaml"))}
# small enough for a run of a second or two; batch selection begins after three epochs
SMALLER = ["--data.size=64", "--data.val_size=24", "--data.test_size=24", "--data.batch_size=8"]
ONE_EPOCH = ["--trainer.max_epochs=1"]
NUMBER = r"[^=]+=\[?[\d.,e+-]+\]?"


def kinds(words: tuple[str, ...], studies: list[str]) -> set[str]:
    """What a run is about: the studies that have it, and its words but for numbers, such as a class or a graph."""
    return {word for word in words if not re.fullmatch(NUMBER, word)} | set(studies)


def fewest_runs() -> dict[tuple[str, ...], list[str]]:
    """Words of runs, and the studies that have them: few runs that are of every kind (greedy)."""
    found: dict[tuple[str, ...], list[str]] = {}
    for name, study in STUDIES.items():
        for run in study.expand("tiny"):
            found.setdefault(run.words, []).append(name)
    of = {words: kinds(words, studies) for words, studies in found.items()}
    open_kinds, chosen = set().union(*of.values()), {}
    while open_kinds:
        best = max(found, key=lambda words: len(of[words] & open_kinds))
        chosen[best] = found[best]
        open_kinds -= of[best]
    return chosen


CHOSEN = fewest_runs()


def test_every_study_is_run() -> None:
    assert {name for studies in CHOSEN.values() for name in studies} == STUDIES.keys()


@pytest.mark.parametrize(("words", "studies"), CHOSEN.items(), ids=[names[0] for names in CHOSEN.values()])
def test_a_tiny_run_gives_every_metric_of_its_studies(
    words: tuple[str, ...], studies: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EvaluationFigures, "on_outputs", lambda *args: None)  # pictures take half of the time
    epochs = [] if "--trainer.callbacks+=BatchSelection" in words else ONE_EPOCH
    place = [f"--trainer.logger.save_dir={tmp_path}", "--trainer.logger.version=run"]
    training.run("fit", [*words, *SMALLER, *epochs, *place])
    folder = tmp_path / "run"
    results = json.loads((folder / "results_test.json").read_text(encoding="utf-8"))
    cost = json.loads((folder / "cost.json").read_text(encoding="utf-8"))
    found = results | {f"cost.{key}": value for key, value in cost.items()}
    for study in (STUDIES[name] for name in studies):
        assert set(study.metrics.values()) <= found.keys()
        for rule in study.rules.values():
            scores = rule_scores(folder, rule)
            assert {key for key in study.metrics.values() if not key.startswith("cost.")} <= scores.keys()
