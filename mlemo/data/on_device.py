"""Which splits lie on the device that trains."""

from __future__ import annotations

import logging
from typing import Any, Literal

import torch
from lightning.pytorch.utilities import rank_zero_only

from mlemo.data.collate import BatchedCorpus

__all__ = ["OnDevice"]

AUTO_PART = 0.1  # of the free memory of a device, most of which activations and gradients need

log = logging.getLogger(__name__)


class OnDevice:
    """Puts the columns of splits on the device of a trainer, once each, where that is wanted and they fit.

    Args:
        wanted: ``auto`` where they take at most a tenth of the free memory of the device.

    Raises:
        ValueError: Something else than ``True``, ``False`` and ``auto``.
    """

    def __init__(self, wanted: bool | Literal["auto"]) -> None:
        if wanted not in (True, False, "auto"):
            raise ValueError(f"data.on_device must be true, false or auto, found {wanted!r}")
        self.wanted = wanted
        self._placed: dict[tuple[str, torch.device], BatchedCorpus] = {}

    def place(self, split: str, dataset: BatchedCorpus, trainer: Any) -> BatchedCorpus:
        """The split on the device; unchanged, with a message, if it does not fit."""
        if not self.wanted or trainer is None or trainer.strategy.root_device.type == "cpu":
            return dataset
        device = trainer.strategy.root_device
        if (split, device) not in self._placed:
            if (problem := _no_room(dataset.nbytes, device, AUTO_PART if self.wanted == "auto" else 1.0)) is not None:
                rank_zero_only(log.warning)(f"the {split} split stays in the memory of the machine: {problem}")
                return dataset
            self._placed[split, device] = dataset.to(device)
        return self._placed[split, device]


def _no_room(size: int, device: torch.device, part: float) -> str | None:
    """Why data do not fit into a part of the free memory; ``None`` where they do, or where that cannot be asked."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    if size <= part * free:
        return None
    share = "" if part == 1 else f"{part:.0%} of "
    return f"it takes {size / 1e9:.2f} GB, and {share}the free memory of {device} is {part * free / 1e9:.2f} GB"
