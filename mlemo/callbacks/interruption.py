"""Stopping and saving a training between two steps: on a signal, and every few minutes."""

from __future__ import annotations

import logging
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only

from mlemo.callbacks.run_folder import run_folder
from mlemo.runs.files import LAST

__all__ = ["Interrupted", "Interruption"]

log = logging.getLogger(__name__)

#: Sent by a terminal (Ctrl-C), by schedulers and `kill`, and by Slurm ahead of a time limit (``--signal=USR1@60``).
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))

OWED = "validation_owed"
AGREE_EVERY = 10  #: optimizer steps between two agreements of several processes


class Interrupted(SystemExit):
    """The end of a process by a signal; its exit status is 128 plus the number of the signal, as in a shell.

    Args:
        number: Number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


class Interruption(Checkpoint):
    """Saves ``checkpoints/last.ckpt`` between two optimizer steps: on SIGTERM, SIGINT or SIGUSR1, and regularly.

    After a signal the training ends at the next optimizer step, or within a validation at the next batch (in
    several processes after the validation), with a checkpoint, the command that continues it, and status 128 plus
    the number of the signal. A second SIGINT ends it at once. Several processes agree after every tenth step, so
    that a signal to any of them ends all; to agree they have to wait for their devices. A signal during validation
    or test outside of training ends the process at once, since there is nothing to save.

    A checkpoint that is saved between the last batch of an interval and the end of its validation is marked, with the
    key ``validation_owed``; a training that is resumed from it runs that validation first. Lightning alone would omit
    it. This holds for the checkpoints of other callbacks too.

    Args:
        minutes: Time between two checkpoints within an epoch; ``None`` for none but those of the signals. The end of
            a validation saves ``last.ckpt`` too, so that short epochs have no others.

    Raises:
        ValueError: ``minutes`` is not positive.
    """

    def __init__(self, minutes: float | None = 10.0) -> None:
        if minutes is not None and minutes <= 0:
            raise ValueError(f"interruption.minutes must be positive or null, found {minutes}")
        super().__init__()
        self.minutes = minutes
        self._received: int | None = None
        self._saved = time.monotonic()
        self._validated = False
        self._fitted = False
        self.trust: list[str] = []  #: modules of the user's own that the command which continues names

    # signals ----------------------------------------------------------------------------------------------------

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the signal of a training before."""
        self._received = None

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take over the signals before the first batch."""
        self._listen()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take over the signals from Lightning, which restores them all when the training ends."""
        self._listen()
        self._saved, self._fitted = time.monotonic(), False

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End at once on a signal."""
        self._listen(at_once=True)

    def _listen(self, at_once: bool = False) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._end if at_once else self._remember)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self._received is not None:
            self._end(number, frame)
        self._received = number

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._received = None
        raise Interrupted(number)

    # saving -----------------------------------------------------------------------------------------------------

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop or save, where an optimizer step has just been taken."""
        loop = trainer.fit_loop.epoch_loop
        if loop._should_accumulate() or (trainer.is_last_batch and not _validation_follows(trainer)):
            return  # the gradients of half a step, and the hooks of the end of an epoch, are in no checkpoint
        if trainer.world_size > 1 and trainer.global_step % AGREE_EVERY:
            return
        due = self.minutes is not None and time.monotonic() - self._saved >= 60 * self.minutes
        if _any_process(trainer, due or self._received is not None):
            self._stop_if_asked(trainer)
            trainer.save_checkpoint(LAST.path(run_folder(trainer)), weights_only=False)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin a validation that is owed until it ends."""
        self._validated = False
        if trainer.state.fn != TrainerFn.FITTING:
            self._listen(at_once=True)

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Stop within a validation of training, which a resumed training runs again.

        Several processes may have different numbers of batches, so that they can agree after the validation only.
        """
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking and trainer.world_size == 1:
            self._stop_if_asked(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the validation; what is saved from here on does not owe it."""
        self._validated = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop before the test; the training is complete."""
        self._fitted = True
        self._stop_if_asked(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save what a signal has ended; other callbacks have restored the trained weights by now."""
        if not isinstance(exception, Interrupted):
            return
        name = signal.Signals(exception.number).name
        folder = run_folder(trainer)
        if trainer.state.fn != TrainerFn.FITTING or self._fitted:
            self._report(f"interrupted by {name}", folder if self._fitted else None)
        elif self._received is None or trainer.sanity_checking:
            self._report(f"interrupted by {name} at once; the latest checkpoint was not renewed", folder)
        else:
            path = LAST.path(folder)
            trainer.save_checkpoint(path, weights_only=False)
            at = f"epoch {trainer.current_epoch + 1}, step {trainer.global_step}"
            self._report(f"interrupted by {name} in {at}; saved {path}", folder)

    @rank_zero_only
    def _report(self, what: str, folder: Path | None) -> None:
        trust = "".join(f" --trust {module}" for module in self.trust)
        log.warning(what if folder is None else f"{what}\ncontinue with: mlemo resume {folder}{trust}")

    def _stop_if_asked(self, trainer: Trainer) -> None:
        if trainer.world_size > 1:
            number = torch.tensor(self._received or 0, device=trainer.strategy.root_device)
            self._received = int(trainer.strategy.reduce(number, reduce_op="max")) or None
        if self._received is not None:
            raise Interrupted(self._received)

    # the validation that is owed --------------------------------------------------------------------------------

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Mark a checkpoint whose validation has not ended."""
        self._saved = time.monotonic()
        if trainer.state.fn == TrainerFn.FITTING:
            validating = trainer.validating and not trainer.sanity_checking
            checkpoint[OWED] = not self._validated if validating else _validation_follows(trainer)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Put the loops where Lightning begins with a validation, from its first batch."""
        if trainer.state.fn != TrainerFn.FITTING or not checkpoint.get(OWED):
            return
        loops = checkpoint["loops"]["fit_loop"]
        batches = loops["epoch_loop.batch_progress"]
        for counter in (batches["total"], batches["current"]):
            counter["completed"] = counter["processed"]
        validation = loops["epoch_loop.val_loop.batch_progress"]
        for counter in (validation["total"], validation["current"]):
            counter.update(ready=1, started=1, processed=0, completed=0)  # "in its first batch"
        validation["is_last_batch"] = False


def _validation_follows(trainer: Trainer) -> bool:
    """Whether a batch has just been trained on, and a validation is next."""
    loop = trainer.fit_loop.epoch_loop
    counter: Any = loop.batch_progress.current  # typed by Lightning as a counter without `processed`
    fetcher = trainer.fit_loop._data_fetcher
    if counter.processed != counter.completed + 1 or fetcher is None:
        return False
    return bool(loop._should_check_val_fx(fetcher))


def _any_process(trainer: Trainer, wanted: bool) -> bool:
    """Whether any process requests it; a single process does not communicate."""
    return wanted if trainer.world_size == 1 else bool(trainer.strategy.reduce_boolean_decision(wanted, all=False))
