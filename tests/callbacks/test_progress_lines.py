"""Lines where the output is no terminal."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from mlemo.cli import main

WORDS = [
    "fit", "--data.size=24", "--data.val_size=12", "--data.test_size=12", "--data.batch_size=8",
    "--data.eval_batch_size=6", "--model=FrozenHead", "--model.features=Tfidf", "--model.features.width=8",
    "--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--trainer.precision=32-true", "--results.resamples=0",
]  # fmt: skip


@pytest.mark.parametrize("heartbeat", [1e-9, 0.0, 3600.0])
def test_batches_are_written_where_the_last_line_is_older_than_the_heartbeat(
    heartbeat: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "mlemo"):
        main([*WORDS, f"--progress.heartbeat={heartbeat}", f"--trainer.logger.save_dir={tmp_path}"])
    lines = [record.getMessage() for record in caplog.records if ": batch " in record.getMessage()]
    if heartbeat == 1e-9:
        assert [line.partition(": ")[2] for line in lines[2:7]] == [
            "batch 1/3", "batch 2/3", "batch 3/3", "batch 1/2", "batch 2/2",
        ], lines  # fmt: skip
    else:
        assert lines == []
