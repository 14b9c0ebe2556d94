import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Callback
from lightning.pytorch.loggers import Logger

from mlemo.callbacks import LossWeightMonitor
from mlemo.losses import BinaryCrossEntropy, WeightedDifferenceLoss
from mlemo.models import Optimization

Maker = Callable[..., Any]
NAMES = ["bce", "d0", "d1", "d2"]
COLUMNS = ["step", *[f"loss/{name}" for name in NAMES], *[f"weight/{name}" for name in NAMES]]


class Record(Callback):
    """What each batch had: step before it, weights before it, components, loss."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self.losses: list[float] = []

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.before = {f"weight/{name}": value.item() for name, value in pl_module.loss.weights().items()}
        self.step = trainer.global_step

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *args: Any) -> None:
        components = {f"loss/{name}": value.item() for name, value in outputs["components"].items()}
        self.rows.append({"step": self.step, **components, **self.before})
        self.losses.append(outputs["loss"].item())


class Board(Logger):
    """A logger that keeps what it is given."""

    name, version = "board", "0"
    save_dir = property(lambda self: self.folder)

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = str(folder)
        self.logged: list[tuple[int, dict[str, float]]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        if "loss/bce" in metrics:
            self.logged.append((step, metrics))

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass


def table(path: Path) -> list[dict[str, float]]:
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert all(list(row) == COLUMNS for row in rows)
    return [{name: float(value) for name, value in row.items()} for row in rows]


def wdl(weighting: str = "softmax") -> WeightedDifferenceLoss:
    return WeightedDifferenceLoss(order=2, weighting=weighting)


@pytest.mark.parametrize("weighting", ["fixed", "softmax", "monotone"])
def test_every_batch_has_a_row_with_its_components_and_the_weights_it_had(
    weighting: str, bert_wdl: Maker, data: Maker, trainer: Maker, tmp_path: Path
) -> None:
    record, board = Record(), Board(tmp_path)
    run = trainer(callbacks=[LossWeightMonitor(), record], max_epochs=3, logger=board)
    fast = Optimization(loss_learning_rate=1.0)
    run.fit(bert_wdl(loss=wdl(weighting), optimization=fast), datamodule=data(batch_size=8))
    rows = table(tmp_path / "loss_weights.csv")
    assert [row["step"] for row in rows] == list(range(9))
    for row, expected, loss in zip(rows, record.rows, record.losses, strict=True):
        assert row == pytest.approx(expected, rel=1e-6)
        weighted = sum(row[f"loss/{name}"] * row[f"weight/{name}"] for name in NAMES)
        assert weighted == pytest.approx(loss, rel=1e-5)
    moved = abs(rows[-1]["weight/d2"] - rows[0]["weight/d2"])
    assert (moved > 1e-3) == (weighting != "fixed")
    assert [{"step": step, **values} for step, values in board.logged] == [pytest.approx(row) for row in rows]


def test_weights_that_are_the_parameters_themselves_are_kept_as_they_were(
    bert_wdl: Maker, data: Maker, trainer: Maker, tmp_path: Path
) -> None:
    class Direct(WeightedDifferenceLoss):
        def weights(self) -> dict[str, Any]:
            return dict(zip(self.names, self.component_weights.raw.detach()))

    loss = Direct(order=2, weighting="softmax")
    trainer(callbacks=LossWeightMonitor()).fit(bert_wdl(loss=loss), datamodule=data(batch_size=8))
    rows = table(tmp_path / "loss_weights.csv")
    assert [rows[0][f"weight/{name}"] for name in NAMES] == [0, 0, 0, 0]
    assert rows[1]["weight/bce"] != 0


def test_accumulated_batches_share_a_step(bert_wdl: Maker, data: Maker, trainer: Maker, tmp_path: Path) -> None:
    run = trainer(callbacks=LossWeightMonitor(), accumulate_grad_batches=2)
    run.fit(bert_wdl(loss=wdl()), datamodule=data(batch_size=6))
    assert [row["step"] for row in table(tmp_path / "loss_weights.csv")] == [0, 0, 1, 1]


@pytest.mark.parametrize("flush_every", [1, 2, 50])
def test_rows_are_written_at_intervals_and_at_the_end(
    flush_every: int, bert_wdl: Maker, data: Maker, trainer: Maker, tmp_path: Path
) -> None:
    written: list[int] = []
    path = tmp_path / "weights.csv"

    class Watch(Callback):
        def on_train_batch_end(self, *args: Any) -> None:
            written.append(len(table(path)) if path.exists() else 0)

    monitor = LossWeightMonitor("weights.csv", flush_every)
    trainer(callbacks=[monitor, Watch()]).fit(bert_wdl(loss=wdl()), datamodule=data(batch_size=5))
    assert written == [number - number % flush_every for number in range(1, 6)]
    assert len(table(path)) == 5


def test_an_exception_loses_nothing(bert_wdl: Maker, data: Maker, trainer: Maker, tmp_path: Path) -> None:
    class Fail(Callback):
        def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
            if trainer.global_step == 3:
                raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        trainer(callbacks=[LossWeightMonitor(), Fail()]).fit(bert_wdl(loss=wdl()), datamodule=data(batch_size=5))
    assert [row["step"] for row in table(tmp_path / "loss_weights.csv")] == [0, 1, 2]


def test_a_resumed_run_has_every_step_once(bert_wdl: Maker, data: Maker, trainer: Maker, tmp_path: Path) -> None:
    class KeepCheckpoint(Callback):
        def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
            if trainer.global_step == 4:
                trainer.save_checkpoint(tmp_path / "fourth.ckpt")
                written.append(len(table(tmp_path / "loss_weights.csv")))

    written: list[int] = []
    run = trainer(callbacks=[LossWeightMonitor(), KeepCheckpoint()], max_epochs=2)
    run.fit(bert_wdl(loss=wdl()), datamodule=data(batch_size=8))
    assert written == [4], "a checkpoint goes with the rows before it"
    unbroken = table(tmp_path / "loss_weights.csv")
    run = trainer(callbacks=LossWeightMonitor(), max_epochs=2)
    run.fit(bert_wdl(loss=wdl()), datamodule=data(batch_size=8), ckpt_path=tmp_path / "fourth.ckpt", weights_only=True)
    resumed = table(tmp_path / "loss_weights.csv")
    assert [row["step"] for row in resumed] == [0, 1, 2, 3, 4, 5]
    assert resumed == [pytest.approx(row) for row in unbroken]


def test_a_new_run_in_the_folder_begins_anew(bert_wdl: Maker, data: Maker, trainer: Maker, tmp_path: Path) -> None:
    for _ in range(2):
        trainer(callbacks=LossWeightMonitor()).fit(bert_wdl(loss=wdl()), datamodule=data(batch_size=8))
    assert [row["step"] for row in table(tmp_path / "loss_weights.csv")] == [0, 1, 2]


def test_a_plain_loss_is_left_alone(bert_wdl: Maker, data: Maker, trainer: Maker, tmp_path: Path) -> None:
    board = Board(tmp_path)
    run = trainer(callbacks=LossWeightMonitor(flush_every=1), logger=board)
    run.fit(bert_wdl(loss=BinaryCrossEntropy()), datamodule=data())
    assert run.global_step == 2
    assert board.logged == []
    assert not (tmp_path / "loss_weights.csv").exists()


def test_no_file_is_written_where_none_is_wanted(bert_wdl: Maker, data: Maker, trainer: Maker, tmp_path: Path) -> None:
    board = Board(tmp_path)
    trainer(callbacks=LossWeightMonitor(None), logger=board).fit(bert_wdl(loss=wdl()), datamodule=data())
    assert len(board.logged) == 2
    assert list(tmp_path.rglob("*.csv")) == []
