from __future__ import annotations

import json
from pathlib import Path

from mlemo.experiments.records import Code, make_record
from mlemo.experiments.runs import StudyRun


def test_a_record_holds_what_the_run_cost(tmp_path: Path) -> None:
    config = {
        "trainer": {"devices": 2, "accumulate_grad_batches": 3, "precision": "bf16-mixed"},
        "data": {"init_args": {"batch_size": 8}},
    }
    run = StudyRun(name="x", labels={}, seed=1, words=(), config=config, data={}, address="r1")
    for split in ("val", "test"):
        (tmp_path / f"results_{split}.json").write_text("{}", encoding="utf-8")
    assert make_record(run, tmp_path, 2.0, resumed=False, code=Code("sha256:1"))["cost"] == {}
    cost = {"parameters": 7, "train_samples_per_second": 3.5}
    (tmp_path / "cost.json").write_text(json.dumps(cost), encoding="utf-8")
    record = make_record(run, tmp_path, 2.0, resumed=False, code=Code("sha256:1"))
    assert record["cost"] == cost
    assert "cost.json" in record["files"]
    assert record["peak_memory"] > 1e8
    assert (record["world_size"], record["global_batch"], record["precision"]) == (2, 48, "bf16-mixed")
    assert (record["code"], record["git"]) == ("sha256:1", None)
