"""Two trainings that take turns in one process, so that both meet the same load from elsewhere; every step is timed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, cast

import torch
from lightning.pytorch import Callback
from transformers import TrainerCallback


class Contender(threading.Thread):
    """A training that calls `epoch_start` and `step_end`, and stands still while it is another one's turn.

    Args:
        name: Name in the table.
        train: The whole training, set-up included.
        block: Steps in one turn; the last turn of an epoch may be shorter.
        threads: Threads of torch.
    """

    def __init__(self, name: str, train: Callable[[], object], block: int, threads: int) -> None:
        super().__init__(name=name, daemon=True)
        self.train, self.block, self.threads = train, block, threads
        self.seconds: list[list[float]] = []  # by epoch and step
        self.error: BaseException | None = None
        self.over = False
        self._go, self._paused = threading.Semaphore(0), threading.Semaphore(0)
        self._clock = 0.0

    def run(self) -> None:
        self._go.acquire()
        torch.set_num_threads(self.threads)  # holds for the thread that calls it
        try:
            self.train()
        except BaseException as error:
            self.error = error
        self.over = True
        self._paused.release()

    def turn(self) -> None:
        """Let it train until the end of its turn; called by the other side."""
        self._go.release()
        self._paused.acquire()
        if self.error is not None:
            raise self.error

    def epoch_start(self) -> None:
        self.seconds.append([])
        self._clock = perf_counter()

    def step_end(self) -> None:
        epoch = self.seconds[-1]
        epoch.append(perf_counter() - self._clock)
        if len(epoch) % self.block == 0:
            self._paused.release()
            self._go.acquire()
        self._clock = perf_counter()


def race(contenders: Sequence[Contender]) -> None:
    """Run all contenders to their ends, in turns."""
    for contender in contenders:
        contender.start()
    running = list(contenders)
    while running:
        for contender in running:
            contender.turn()
        running = [contender for contender in running if not contender.over]
    for contender in contenders:
        contender.join()


def current() -> Contender:
    """The contender whose turn it is."""
    return cast(Contender, threading.current_thread())


class LightningTimer(Callback):
    """Reports epochs and steps of Lightning's trainer; named in the config by its dotted path."""

    def on_train_epoch_start(self, *args: Any) -> None:
        current().epoch_start()

    def on_train_batch_end(self, *args: Any) -> None:
        current().step_end()


class HuggingFaceTimer(TrainerCallback):
    """Reports epochs and steps of Hugging Face's trainer."""

    def on_epoch_begin(self, *args: Any, **kwargs: Any) -> None:
        current().epoch_start()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        current().step_end()
