from __future__ import annotations

import pytest
import torch

from mlemo.callbacks import FiniteLoss


class Place:
    """What the callback reads of a trainer."""

    def __init__(self, precision: str = "32-true", every: int = 10) -> None:
        self.precision, self.log_every_n_steps = precision, every
        self.current_epoch, self.num_training_batches = 1, 4


def feed(callback: FiniteLoss, losses: list[float], trainer: Place) -> None:
    for batch, loss in enumerate(losses):
        callback.on_train_batch_end(trainer, None, {"loss": torch.tensor(loss)}, None, batch)
    callback.on_train_epoch_end(trainer, None)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_the_first_loss_that_is_not_finite_is_named(bad: float) -> None:
    with pytest.raises(ValueError, match=rf"loss is {bad} in epoch 2, batch 3 of 4"):
        feed(FiniteLoss(), [0.7, 0.6, bad, float("nan")], Place())


def test_the_notes_are_read_at_intervals() -> None:
    callback, trainer = FiniteLoss(every_n_steps=2), Place()
    callback.on_train_batch_end(trainer, None, {"loss": torch.tensor(float("nan"))}, None, 0)
    with pytest.raises(ValueError, match="batch 1 of 4"):
        callback.on_train_batch_end(trainer, None, {"loss": torch.tensor(0.5)}, None, 1)


def test_finite_losses_pass_and_an_overflow_of_fp16_is_recovered() -> None:
    feed(FiniteLoss(), [0.7, 0.6], Place())
    feed(FiniteLoss(), [0.7, float("inf"), 0.6], Place("16-mixed"))
    with pytest.raises(ValueError, match="batch 1"):
        feed(FiniteLoss(), [float("nan")] * 3, Place("16-mixed"))


def test_a_step_reads_nothing_from_the_device() -> None:
    # a meta tensor has no value to read: reading it raises
    callback = FiniteLoss(every_n_steps=3)
    for batch in range(2):
        callback.on_train_batch_end(Place(), None, {"loss": torch.empty((), device="meta")}, None, batch)


def test_an_interval_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="every_n_steps"):
        FiniteLoss(every_n_steps=0)
