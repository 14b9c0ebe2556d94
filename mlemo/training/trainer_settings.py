"""Checks of settings that Lightning's trainer accepts and cannot train with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch

__all__ = ["check_trainer"]

SHARDED = "fsdp2"  #: the strategy of `mlemo.training.sharding`
LEAST_PROCESSES = 2  #: allowed on any machine, so that training in several processes can be tried


def check_trainer(settings: Mapping[str, Any]) -> None:
    """Check settings of the trainer.

    Args:
        settings: Settings of ``trainer`` by name; those that are left out are not checked.

    Raises:
        ValueError: Batches are accumulated by fewer than one, gradients are clipped at a negative value, training has
            no batch or no epoch, the weights would be shared out among processes in a way that is not tested, or more
            processes would be started on a CPU than it has processors.

    Example:
        >>> check_trainer({"accumulate_grad_batches": 0})
        Traceback (most recent call last):
        ...
        ValueError: trainer.accumulate_grad_batches must be at least 1, found 0
    """
    accumulated = settings.get("accumulate_grad_batches")
    if accumulated is not None and accumulated < 1:
        raise ValueError(f"trainer.accumulate_grad_batches must be at least 1, found {accumulated}")
    clipping = settings.get("gradient_clip_val")
    if clipping is not None and clipping < 0:
        raise ValueError(f"trainer.gradient_clip_val must be at least 0, which clips nothing, found {clipping}")
    for name in ("limit_train_batches", "max_epochs", "max_steps"):
        if settings.get(name) == 0:
            raise ValueError(f"trainer.{name} is 0, which trains nothing; `mlemo test` scores a model without training")
    strategy = settings.get("strategy") or "auto"
    name = strategy if isinstance(strategy, str) else str(strategy["class_path"]).rsplit(".", 1)[-1]
    if name != SHARDED and any(word in name.lower() for word in ("fsdp", "deepspeed", "modelparallel")):
        raise ValueError(
            f"trainer.strategy {name} has not been shown to train as one process does; use ddp, or {SHARDED}, which "
            "shares out the weights among the processes (docs/scale.md)"
        )
    devices = str(settings.get("devices"))
    on_processor = settings.get("accelerator") == "cpu" or not (torch.cuda.is_available() or torch.mps.is_available())
    most = max(os.cpu_count() or 1, LEAST_PROCESSES)
    if on_processor and devices.isdecimal() and int(devices) > most:
        raise ValueError(
            f"trainer.devices={devices} would start {devices} processes on {os.cpu_count()} processors; expected "
            f"{most} at most"
        )
