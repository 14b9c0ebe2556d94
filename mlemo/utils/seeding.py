"""Seeds that depend on the position in training, so that a resumed run draws the same random numbers."""

from __future__ import annotations

import os

import torch

__all__ = ["seed_step", "step_generator", "step_seed"]


def step_seed(epoch: int, batch: int, rank: int = 0, stream: int = 0) -> int:
    """Compute the seed of one training batch from the run's seed, epoch, batch, process and stream.

    Args:
        epoch: Epoch, from 0.
        batch: Batch in the epoch, from 0.
        rank: Index of the process.
        stream: Number of the use; different uses have independent random numbers.

    Returns:
        A seed below 2⁶³. The run's seed is that of ``seed_everything`` (0 without it).
    """
    value = int(os.environ.get("PL_GLOBAL_SEED", "0"))
    for part in (epoch, batch, rank, stream):
        # one round of the SplitMix64 finalizer per part: similar inputs have unrelated seeds
        value = (value + part + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        value ^= value >> 31
    return value >> 1


def seed_step(seed: int) -> None:
    """Seed torch's default generators.

    Like `torch.manual_seed`, which takes 2 ms because it prepares a message for every missing kind of device.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)


def step_generator(device: torch.device, epoch: int, batch: int, rank: int = 0, stream: int = 1) -> torch.Generator:
    """Create a generator on ``device`` seeded with ``step_seed``."""
    return torch.Generator(device=device).manual_seed(step_seed(epoch, batch, rank, stream))
