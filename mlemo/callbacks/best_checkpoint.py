"""Checkpoints of a run: of the best epoch, with a stated rule for ties, in a folder that may be moved."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import Trainer, callbacks
from torch import Tensor

from mlemo.callbacks.monitoring import breaks_tie, mode_of, validation_loss

__all__ = ["BestCheckpoint", "RunCheckpoint"]


class RunCheckpoint(callbacks.ModelCheckpoint):
    """Lightning's checkpoint callback, which continues in a folder that has been moved, or is named by another path."""

    @property
    def state_key(self) -> str:
        """The key of Lightning's own class, under which checkpoints of mlemo 0.1.0 hold this state."""
        return super().state_key.replace(type(self).__qualname__, callbacks.ModelCheckpoint.__qualname__, 1)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned, with the paths of checkpoints in the folder where the run is now."""
        super().load_state_dict(_moved(state_dict, self.dirpath))


class BestCheckpoint(RunCheckpoint):
    """Lightning's checkpoint callback, which keeps the epoch of the lower validation loss where the monitor is equal.

    Where the losses are equal too it keeps the later epoch. A monitor that is NaN is worse than any number, and equal
    to another NaN. With ``save_top_k`` other than 1 ties are Lightning's: the first epoch is kept.

    Args:
        monitor: Logged metric; ``None`` to save after every epoch. On the command line ``null`` is the monitor of
            ``early_stopping``.
        mode: ``"max"`` or ``"min"``; ``None`` for ``"min"`` where the monitor is a loss or an error.
        kwargs: Further settings of Lightning's callback. ``enable_version_counter`` has an effect only where several
            epochs are kept.
    """

    def __init__(self, monitor: str | None = None, mode: Literal["min", "max"] | None = None, **kwargs: Any) -> None:
        if kwargs.get("save_top_k", 1) == 1:
            kwargs["enable_version_counter"] = False  # a folder has one run, and one checkpoint of its best epoch
        super().__init__(monitor=monitor, mode=mode_of(monitor) if mode is None else mode, **kwargs)
        self._kept_loss = math.inf

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        """Whether the epoch is kept: a better monitor, or an equal one and no higher loss."""
        if super().check_monitor_top_k(trainer, current):
            return True
        if current is None or self.save_top_k != 1:
            return False
        value = torch.full_like(current, -math.inf if self.mode == "max" else math.inf) if current.isnan() else current
        tie = bool(value == self.best_k_models[self.kth_best_model_path])
        return trainer.strategy.reduce_boolean_decision(tie and breaks_tie(validation_loss(trainer), self._kept_loss))

    def _save_topk_checkpoint(self, trainer: Trainer, monitor_candidates: dict[str, Tensor]) -> None:
        if trainer.limit_val_batches or self.monitor in monitor_candidates:  # without a validation there is no best
            super()._save_topk_checkpoint(trainer, monitor_candidates)

    def _update_best_and_save(self, current: Tensor, trainer: Trainer, monitor_candidates: dict[str, Tensor]) -> None:
        self._kept_loss = validation_loss(trainer)
        super()._update_best_and_save(current, trainer, monitor_candidates)

    def state_dict(self) -> dict[str, Any]:
        """Lightning's state, and the loss of the kept epoch."""
        return {**super().state_dict(), "kept_loss": self._kept_loss}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned; checkpoints of mlemo 0.1.0 hold Lightning's state alone."""
        super().load_state_dict(state_dict)
        self._kept_loss = state_dict.get("kept_loss", math.inf)


def _moved(state: dict[str, Any], folder: str | Path | None) -> dict[str, Any]:
    """A state with the paths of the checkpoints in another folder."""
    if folder is None or state.get("dirpath") in (None, folder):
        return state

    def new(path: str) -> str:
        return str(Path(folder, Path(path).name)) if path else path

    paths = {name: new(state[name]) for name in ("best_model_path", "kth_best_model_path", "last_model_path")}
    best = {new(path): score for path, score in state["best_k_models"].items()}
    return {**state, **paths, "best_k_models": best, "dirpath": folder}
