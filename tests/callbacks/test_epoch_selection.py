"""The epoch that is kept and the epoch that training stops in, on scripted trajectories."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mlemo.callbacks import BestCheckpoint, EarlyStopping
from mlemo.callbacks.monitoring import mode_of
from mlemo.experiments.selection import kept_epoch
from mlemo.models.optimization import Optimization

NAN = math.nan
FALLING = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05]


class Scripted(LightningModule):
    """Logs given values after each epoch of one step."""

    def __init__(self, scores: Sequence[float], losses: Sequence[float], warmup: float) -> None:
        super().__init__()
        self.scores, self.losses = scores, losses
        self.optimization = Optimization(warmup=warmup)
        self.layer = nn.Linear(1, 1)
        self.trained: Tensor = torch.zeros(())
        self.register_buffer("epochs", torch.zeros(()))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.epochs += 1
        return self.layer(batch).sum()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        if not self.trainer.sanity_checking:
            self.log("val/score", self.scores[self.current_epoch])
            self.log("val/loss", self.losses[self.current_epoch])

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def run(
    folder: Path, scores: Sequence[float], losses: Sequence[float] = FALLING, *, warmup: float = 0.0, patience: int = 2,
    quiet: bool = True, resume: str | None = None, epochs: int | None = None,
) -> tuple[int, int]:  # fmt: skip
    """Epoch that is kept and epochs that are trained, counted from 1."""
    best = BestCheckpoint("val/score", dirpath=folder, filename="best")
    last = BestCheckpoint(dirpath=folder, filename="last", enable_version_counter=False)
    quiet_trainer = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(
        max_epochs=epochs or len(scores),
        accelerator="cpu",
        callbacks=[EarlyStopping("val/score", patience), best, last],
        default_root_dir=folder,
        num_sanity_val_steps=0,
        **quiet_trainer,
    )
    loader = DataLoader(torch.ones(1, 1))
    with warnings.catch_warnings():
        if quiet:
            warnings.filterwarnings("ignore", message="early_stopping.monitor")
        trainer.fit(Scripted(scores, losses, warmup), loader, loader, ckpt_path=resume, weights_only=False)
    state = torch.load(best.best_model_path, weights_only=False)["state_dict"]
    return int(state["epochs"]), trainer.current_epoch


def test_noise_of_the_first_epoch_is_kept_by_a_monitor_at_half_and_not_by_average_precision(tmp_path: Path) -> None:
    # macro-F1 at 0.5 of an untrained network by chance, then 0 while loss and average precision improve
    at_half = [0.1544, 0, 0, 0, 0, 0, 0, 0, 0.2, 0.3]
    precision = [0.15, 0.16, 0.2, 0.22, 0.25, 0.3, 0.31, 0.33, 0.35, 0.36]
    for name, scores, expected in [("half", at_half, (1, 6)), ("warm", at_half, (10, 10)), ("ap", precision, (10, 10))]:
        (folder := tmp_path / name).mkdir()
        assert run(folder, scores, patience=5, warmup=0.4 if name == "warm" else 0.0) == expected, name


def test_no_training_stops_in_the_warmup_and_the_patience_starts_behind_it(tmp_path: Path) -> None:
    falling = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0]
    losses = list(range(10))
    for warmup, trained in {0.0: 3, 0.2: 4, 0.5: 7, 0.9: 10}.items():  # patience 2; one step an epoch, ten in all
        (folder := tmp_path / str(warmup)).mkdir()
        assert run(folder, falling, losses, warmup=warmup) == (1, trained), warmup


@pytest.mark.parametrize(
    ("scores", "losses", "kept"),
    [
        ([0.0, 0.0, 0.0, 0.0], [0.6, 0.5, 0.4, 0.45], 3),  # equal: the lowest loss
        ([0.3, 0.5, 0.5, 0.2], [0.6, 0.5, 0.5, 0.4], 3),  # equal losses too: the later epoch
        ([0.3, 0.5, 0.5, 0.2], [0.6, 0.5, 0.7, 0.4], 2),
        ([NAN, NAN, 0.1, NAN], [0.6, 0.5, 0.9, 0.4], 3),  # NaN is worse than any number
        ([NAN, NAN, NAN], [0.6, 0.5, 0.7], 2),  # and equal to NaN
        ([0.1, 0.1, 0.1], [0.6, NAN, NAN], 1),  # a loss that is NaN is not lower
        ([0.1, 0.2, NAN, 0.3], [0.6, 0.5, 0.4, 0.3], 4),
    ],
)
def test_ties_go_to_the_lower_loss_and_then_to_the_later_epoch(
    tmp_path: Path, scores: list[float], losses: list[float], kept: int
) -> None:
    assert run(tmp_path, scores, losses, patience=10) == (kept, len(scores))
    clean = [math.inf if math.isnan(loss) else loss for loss in losses]
    assert kept_epoch(scores, clean, patience=10) == kept - 1  # what the study scores is what training does


def test_the_study_stops_where_training_stops(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    for number in range(6):
        (folder := tmp_path / str(number)).mkdir()
        scores = (torch.rand(10, generator=generator) * 4).round().div(4).tolist()  # coarse, so that there are ties
        losses = (torch.rand(10, generator=generator) * 4).round().tolist()
        kept, _ = run(folder, scores, losses, warmup=0.3)
        assert kept_epoch(scores, losses, patience=2, warmup=0.3) == kept - 1, (scores, losses)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([0.0, 0.0, 0.0], r"val/score was 0\.0000 after each of 3 epochs.*Set early_stopping\.monitor to val/loss"),
        ([NAN, NAN, NAN], r"val/score was nan after each of 3 epochs"),
        ([0.4, 0.3, 0.2, 0.1], r"val/score was never better than after epoch 1 \(0\.4000\) in 3 epochs"),
    ],
)
def test_a_monitor_that_chooses_nothing_warns_with_what_to_do(
    tmp_path: Path, scores: list[float], message: str
) -> None:
    with pytest.warns(UserWarning, match=message):
        run(tmp_path, scores, quiet=False)


def test_a_monitor_that_rises_does_not_warn(tmp_path: Path) -> None:
    assert run(tmp_path, [0.1, 0.2, 0.2, 0.3], quiet=False) == (4, 4)


def test_a_resumed_training_keeps_and_stops_as_the_unbroken_one(tmp_path: Path) -> None:
    scores, losses = [0.5, 0.5, 0.5, 0.5, 0.5, 0.5], [0.6, 0.5, 0.55, 0.56, 0.57, 0.58]
    whole, part = tmp_path / "whole", tmp_path / "part"
    whole.mkdir(), part.mkdir()
    assert run(whole, scores, losses) == (2, 4)
    run(part, scores, losses, epochs=3)
    assert run(part, scores, losses, resume=str(part / "last.ckpt")) == (2, 4)


@pytest.mark.parametrize(
    ("monitor", "mode"),
    [
        ("val/loss", "min"),
        ("val/hamming_loss", "min"),
        ("val/one_error", "min"),
        ("val/macro_ap", "max"),
        (None, "min"),
    ],
)
def test_a_loss_is_minimised_without_being_told(monitor: str | None, mode: str) -> None:
    assert mode_of(monitor) == mode
    assert BestCheckpoint(monitor).mode == mode
    assert BestCheckpoint("val/loss", mode="max").mode == "max"
