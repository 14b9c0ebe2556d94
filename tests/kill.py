"""A callback that ends its own process at a hook, as a power cut or a signal would; named by dotted path in tests."""

from __future__ import annotations

import os
import signal
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer

torch.set_num_threads(1)  # as conftest.py does: another number of threads rounds differently

HOOKS = [
    "on_fit_start", "on_sanity_check_start", "on_sanity_check_end", "on_train_start", "on_train_epoch_start",
    "on_train_batch_start", "on_before_zero_grad", "on_before_backward", "on_after_backward",
    "on_before_optimizer_step", "on_train_batch_end", "on_validation_start", "on_validation_epoch_start",
    "on_validation_batch_start", "on_validation_batch_end", "on_validation_epoch_end", "on_validation_end",
    "on_train_epoch_end", "on_save_checkpoint", "on_train_end", "on_fit_end", "on_test_start", "on_test_epoch_start",
    "on_test_batch_start", "on_test_batch_end", "on_test_epoch_end", "on_test_end",
]  # fmt: skip


class KillAt(Callback):
    """A signal, by default SIGKILL, at the n-th call of a hook, from 1, or when so many optimizer steps were taken.

    It ends the process of one rank, or every process where the rank is None.
    """

    def __init__(
        self,
        hook: str = "on_train_batch_start",
        call: int = 0,
        step: int | None = None,
        number: int = signal.SIGKILL,
        rank: int | None = 0,
    ) -> None:
        self.calls = 0

        def end(trainer: Trainer, *args: Any, **kwargs: Any) -> None:
            self.calls += 1
            if (self.calls == call or trainer.global_step == step) and rank in (None, trainer.global_rank):
                os.kill(os.getpid(), number)

        setattr(self, hook, end)
