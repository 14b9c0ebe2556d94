from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback

from mlemo.callbacks import Cost, LabelShuffle
from mlemo.callbacks import cost as module

Maker = Callable[..., Any]


class Clock:
    """A clock that moves only where a test moves it."""

    def __init__(self) -> None:
        self.time = 0.0

    def perf_counter(self) -> float:
        return self.time

    def process_time(self) -> float:
        return self.time / 4  # four processes share the processor


class Pace(Callback):
    """Each step takes a second, each validation 100, each test batch 7; the first ones of the run take 1,000."""

    def __init__(self, clock: Clock, slow: int = 0) -> None:
        self.clock, self.slow = clock, slow
        self.steps = 0

    def on_train_batch_start(self, *args: Any) -> None:
        self.clock.time += 1000.0 if self.steps < self.slow else 1.0
        self.steps += 1

    def on_validation_epoch_start(self, *args: Any) -> None:
        self.clock.time += 100.0

    def on_test_batch_end(self, trainer: Any, model: Any, outputs: Any, batch: Any, batch_idx: int, *args: Any) -> None:
        self.clock.time += 1000.0 if batch_idx == 0 else 7.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(module, "time", found)
    return found


def read(folder: Path) -> dict[str, float]:
    return json.loads((folder / "cost.json").read_text(encoding="utf-8"))


def test_training_is_timed_without_its_first_batches_and_without_validation(
    clock: Clock, classifier: Maker, data: Maker, trainer: Maker, tmp_path: Path
) -> None:
    run = trainer(callbacks=[Pace(clock, slow=2), Cost(skip=3)], max_epochs=3)
    model, datamodule = classifier(), data(batch_size=1)
    run.fit(model, datamodule=datamodule)
    batches = len(datamodule.train_dataloader())
    cost = read(tmp_path)
    assert cost["train_samples_per_second"] == pytest.approx(1.0)
    assert cost["seconds_per_epoch"] == pytest.approx(batches)
    assert cost["processor_seconds_per_epoch"] == pytest.approx(batches / 4)
    assert cost["train_minutes"] == pytest.approx((3 * batches + 2 * 999) / 60)
    assert cost["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert cost["trainable_parameters"] == cost["parameters"]
    assert cost["peak_memory_bytes"] > 1e8
    assert "test_ms_per_batch" not in cost


def test_what_training_cost_is_written_before_training_ends(
    classifier: Maker, data: Maker, trainer: Maker, tmp_path: Path
) -> None:
    class Break(Callback):
        def on_train_end(self, *args: Any) -> None:
            raise KeyError("killed")

    with pytest.raises(KeyError, match="killed"):
        trainer(callbacks=[Break(), Cost()], max_epochs=2).fit(classifier(), datamodule=data(batch_size=2))
    assert read(tmp_path).keys() >= {"seconds_per_epoch", "train_minutes", "parameters"}


def test_a_test_adds_its_own_time_and_keeps_that_of_training(
    clock: Clock, classifier: Maker, data: Maker, trainer: Maker, tmp_path: Path
) -> None:
    (tmp_path / "cost.json").write_text('{"seconds_per_epoch": 5.0}', encoding="utf-8")
    model, datamodule = classifier(), data(batch_size=2, eval_batch_size=2)
    for parameter in model.parameters():
        parameter.requires_grad = False
    run = trainer(callbacks=[Cost(), Pace(clock)])
    run.test(model, datamodule=datamodule, verbose=False)
    assert run.num_test_batches[0] > 2
    cost = read(tmp_path)
    # the clock is read before the last batch's seconds pass, and from the second batch on
    assert cost["test_ms_per_batch"] == pytest.approx(
        7000 * (run.num_test_batches[0] - 2) / (run.num_test_batches[0] - 1)
    )
    assert cost["seconds_per_epoch"] == 5.0
    assert cost["trainable_parameters"] < cost["parameters"]


def test_copies_of_a_sample_count_once(
    clock: Clock, bert_wdl: Maker, data: Maker, trainer: Maker, tmp_path: Path
) -> None:
    run = trainer(callbacks=[LabelShuffle(k=3), Pace(clock), Cost()], max_epochs=2)
    run.fit(bert_wdl(), datamodule=data(batch_size=1))
    assert read(tmp_path)["train_samples_per_second"] == pytest.approx(1.0)


def test_a_step_waits_for_no_accelerator(
    classifier: Maker, data: Maker, trainer: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(module, "_now", lambda model: calls.append(1) or time.perf_counter())
    datamodule = data(batch_size=2)
    trainer(callbacks=Cost(), max_epochs=4).fit(classifier(), datamodule=datamodule)
    assert len(datamodule.train_dataloader()) > 8
    assert len(calls) <= 4 * 4


def test_a_resumed_run_counts_the_epochs_before(tmp_path: Path) -> None:
    first = Cost()
    first._samples, first._seconds, first._epochs = 100, 20.0, [3.0, 4.0]
    second = Cost()
    first._processor_epochs = [1.0, 2.0]
    second.load_state_dict(first.state_dict())
    expected = {"samples": 100, "seconds": 20.0, "epochs": [3.0, 4.0], "processor_epochs": [1.0, 2.0]}
    assert second.state_dict() == expected


@pytest.mark.parametrize(("platform", "unit"), [("linux", 1024), ("darwin", 1)])
def test_memory_is_that_of_the_process_without_a_gpu(platform: str, unit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.sys, "platform", platform)
    monkeypatch.setattr(module.resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=500))
    assert module.peak_memory(torch.device("cpu")) == 500 * unit
