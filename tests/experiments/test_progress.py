"""The time left of a study, and its display on a terminal."""

from __future__ import annotations

import io
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from mlemo.experiments.engine import run_folder_of
from mlemo.experiments.progress import Outcome, ProgressDisplay, seconds_left
from mlemo.experiments.runs import StudyRun
from mlemo.experiments.study_file import load_study


def planned(**labels: str) -> StudyRun:
    name = ", ".join(labels.values())
    return StudyRun(name=name, labels=labels, seed=1, words=(), config={}, data={}, address=name)


@pytest.mark.parametrize(
    ("done", "spent", "workers", "expected"),
    [
        ({}, {}, 1, None),
        ({"a, 1": 100.0}, {}, 1, 4 * 100.0),  # a, 2 and b, 1 and b, 2 and c, 1, all as the only one that is done
        ({"a, 1": 100.0, "b, 1": 20.0}, {}, 1, 3 * 60.0),  # none of the same labels is done
        ({"a, 1": 100.0, "b, 1": 20.0}, {"c, 1": 45.0}, 1, 15.0 + 2 * 60.0),
        ({"a, 1": 100.0, "b, 1": 20.0}, {"c, 1": 45.0}, 2, (15.0 + 2 * 60.0) / 2),
        ({"a, 1": 100.0, "b, 1": 20.0}, {"c, 1": 45.0}, 3, 60.0),  # not shorter than the longest
        ({"a, 1": 100.0}, {"a, 2": 500.0}, 1, 3 * 100.0),  # longer than it should be
        (dict.fromkeys(("a, 1", "a, 2", "b, 1", "b, 2", "c, 1"), 5.0), {}, 2, 0.0),
    ],
)
def test_the_time_left_follows_from_the_runs_that_are_done(
    done: dict[str, float], spent: dict[str, float], workers: int, expected: float | None
) -> None:
    runs = [planned(loss=loss, size=size) for loss, size in ("a1", "a2", "b1", "b2", "c1")]
    outcome = Outcome(runs, {address: {"seconds": seconds} for address, seconds in done.items()})
    assert seconds_left(outcome, spent, workers) == (None if expected is None else pytest.approx(expected))
    outcome.failures = {"c, 1": "no memory"}  # a failed run takes no time
    rest = seconds_left(outcome, spent, workers)
    assert rest is None or rest <= expected  # type: ignore[operator]


def test_runs_of_the_same_labels_tell_more_than_others_and_resumed_ones_nothing() -> None:
    runs = [replace(planned(loss=loss), address=f"{loss}{seed}") for loss in "ab" for seed in (1, 2)]
    outcome = Outcome(runs, {"a1": {"seconds": 100.0}, "b1": {"seconds": 10.0}})
    assert seconds_left(outcome, {}, 1) == pytest.approx(110.0)
    outcome.records["b1"]["resumed"] = True
    assert seconds_left(outcome, {}, 1) == pytest.approx(200.0)


def test_a_terminal_shows_the_time_left_and_epochs_while_runs_are_trained(tmp_path: Path) -> None:
    runs = [planned(loss=loss) for loss in "abc"]
    outcome = Outcome(runs, {"a": {"seconds": 80.0, "results": {"test": {}}}})
    with io.StringIO() as file:
        console = Console(file=file, force_terminal=True, width=120)
        with ProgressDisplay(console, load_study("wdl-losses").metrics, outcome, tmp_path, workers=2) as display:
            display.started(runs[1])
            run_folder_of(tmp_path, "b").mkdir(parents=True)
            lines = [json.dumps({"epoch": epoch, "epochs": 20, "metrics": {}}) + "\n" for epoch in (0, 1)]
            (run_folder_of(tmp_path, "b") / "epochs.jsonl").write_text("".join(lines) + '{"epoch": 2')
            display.waiting()
            display._running["b"] = ("b", time.monotonic() - 30.0)
            display._progress.refresh()
            assert "b (2/20)" in file.getvalue(), "the line of the third epoch is being written"
            assert "about 80 s left" in file.getvalue()  # c is not begun: 80 s, and b has 50 s of two workers' time
            display.finished(runs[2], outcome.records["a"], here=False)
            display._progress.refresh()
            bar = file.getvalue().rsplit("2/3", 1)[1]
            assert "about 50 s left" in bar
        assert "c:  (by another command); about 50 s left" in file.getvalue()
