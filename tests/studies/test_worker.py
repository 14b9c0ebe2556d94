"""Workers that lose a run to another one: what they still do about it."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlemo.reproduce import reproduce
from mlemo.studies.claims import Claims
from mlemo.studies.records import RECORD
from mlemo.studies.runs import StudyRun
from mlemo.studies.study_file import load_study
from mlemo.studies.training_process import FINISHED
from mlemo.studies.worker import Crew, run_folder_of

WORDS = """
--data=SyntheticEmotions --data.size=64 --data.val_size=16 --data.test_size=16 --data.batch_size=8
--model=BertWDL --model.encoder=FromScratch --model.encoder.layers=1 --model.encoder.width=32
--model.encoder.heads=2 --model.encoder.vocabulary=300 --model.optimization.learning_rate=1e-2
--trainer.max_epochs=40 --early_stopping.patience=40 --trainer.precision=32-true --trainer.accelerator=cpu
--figures.every_n_epochs=100
"""


class Nobody:
    """A listener that must not be told anything."""

    def started(self, run: StudyRun) -> None:
        pytest.fail("started")

    def finished(self, run: StudyRun, record: dict[str, Any], here: bool) -> None:
        pytest.fail("finished")

    def failed(self, run: StudyRun, text: str) -> None:
        pytest.fail("failed")


@pytest.mark.parametrize("finished", [True, False])
def test_a_result_that_comes_after_the_run_was_taken_up_is_no_record(tmp_path: Path, finished: bool) -> None:
    run = StudyRun(name="x", labels={}, seed=1, words=(), config={}, data={}, address="r1")
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    claims, other = Claims(url), Claims(url, grace=0.0)
    assert claims.take("r1")
    assert not other.take("r1")
    time.sleep(0.05)
    assert other.take("r1")
    folder = run_folder_of(tmp_path, "r1")
    folder.mkdir(parents=True)
    if finished:
        (folder / FINISHED).write_text("{}", encoding="utf-8")
    Crew([run], tmp_path, claims)._record(run, folder, 0 if finished else -9, Nobody())
    assert not (folder / RECORD).exists()
    assert other.states()["r1"][0] == "running"
    claims.close()
    other.close()


def test_a_worker_that_lost_its_run_stops_training_it(tmp_path: Path) -> None:
    content = {
        "title": "A study of tests", "paper": "none", "metrics": {"Jaccard": "jaccard"},
        "scales": {"tiny": {"words": WORDS, "seeds": [1]}},
        "varies": {"loss": {"BCE": "--model.loss=BinaryCrossEntropy"}},
    }  # fmt: skip
    path = tmp_path / "tests.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")

    def steal() -> None:
        while not list(tmp_path.glob("runs/*/checkpoints/last.ckpt")):
            time.sleep(0.01)
        with sqlite3.connect(tmp_path / "runs.db", timeout=60) as connection:
            connection.execute("UPDATE mlemo_runs SET owner = 'elsewhere-0:1:abc'")
        connection.close()

    thief = threading.Thread(target=steal)
    thief.start()
    outcome = reproduce(load_study(path), "tiny", tmp_path, grace=1.0)  # the thief is silent, so it is taken back
    thief.join()
    (record,) = outcome.records.values()
    assert record["resumed"]
    (log,) = tmp_path.glob("runs/*/log.txt")
    assert log.read_text(encoding="utf-8").count("`Trainer.fit` stopped") == 1
