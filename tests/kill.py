"""A callback that kills its own process, as a power cut would; named by dotted path in test_resume.py."""

from __future__ import annotations

import os
import signal
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer

torch.set_num_threads(1)  # as conftest.py does: another number of threads rounds differently


class KillAt(Callback):
    """SIGKILL when so many optimizer steps have been taken."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: Trainer, *args: Any) -> None:
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)
