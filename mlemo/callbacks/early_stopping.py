"""Early stopping that counts its patience from the end of the warm-up."""

from __future__ import annotations

import math
from difflib import get_close_matches
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule, Trainer, callbacks
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from mlemo.callbacks.monitoring import MONITOR, in_warmup, mode_of, validation_loss

__all__ = ["EarlyStopping"]


class EarlyStopping(callbacks.EarlyStopping):
    """Lightning's early stopping, with four differences.

    - The patience is counted from the end of the warm-up (``model.optimization.warmup``); no training stops in it.
    - An epoch whose monitor equals the best one and whose validation loss is lower counts as an improvement.
    - A monitor that is NaN is worse than any number; ``FiniteLoss`` ends a training whose loss is not finite.
    - At the end of the training a warning names a monitor that was constant, or never better than in the first epoch
      although the patience was exhausted.

    A training that ends before its first validation (``--trainer.max_steps`` below an epoch) has no metric to monitor,
    and Lightning's own callback raises an error then; this one does nothing.

    Args:
        monitor: Logged metric, such as ``val/macro_ap``.
        patience: Number of validations without an improvement, behind the warm-up, that end the training.
        mode: ``"max"`` or ``"min"``; ``None`` for ``"min"`` where the monitor is a loss or an error.
        check_finite: Stop where the monitor is not finite.
        kwargs: Further settings of Lightning's callback.
    """

    _validated = False

    def __init__(
        self,
        monitor: str = MONITOR,
        patience: int = 5,
        mode: Literal["min", "max"] | None = None,
        check_finite: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            monitor, patience=patience, mode=mode_of(monitor) if mode is None else mode, check_finite=check_finite,
            **kwargs,
        )  # fmt: skip
        self.history: list[float] = []  #: the monitor after each validation
        self._best_loss = math.inf
        self._loss = math.inf
        self._in_warmup = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From now on there is a metric to check."""
        self._validated = not trainer.sanity_checking
        super().on_validation_end(trainer, pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Train no further where the checkpoint that is resumed is the end of a training that was stopped."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the metric, if there is one."""
        if self._validated:
            super().on_train_epoch_end(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Warn where the monitor has chosen nothing."""
        if (warning := self._warning()) is not None:
            rank_zero_warn(warning)

    def _run_early_stopping_check(self, trainer: Trainer) -> None:
        known = trainer.callback_metrics
        if self.strict and self.monitor not in known:
            near = get_close_matches(self.monitor, known, n=3) or sorted(known)
            raise ValueError(
                f"early_stopping.monitor: there is no metric {self.monitor!r}; did you mean {' or '.join(near)}?"
            )
        self._loss, self._in_warmup = validation_loss(trainer), in_warmup(trainer)
        super()._run_early_stopping_check(trainer)

    def _evaluate_stopping_criteria(self, current: Tensor) -> tuple[bool, str | None]:
        self.history.append(float(current))
        if current.isnan() and not self.check_finite:
            current = torch.full_like(current, math.inf if self.mode == "min" else -math.inf)
        waited, best = self.wait_count, self.best_score
        should_stop, reason = super()._evaluate_stopping_criteria(current)
        if self.wait_count > waited:  # the monitor has not improved
            tie = float(current) == float(best) and self._loss < self._best_loss
            if tie or self._in_warmup:
                self.wait_count = 0
                self.stopping_reason, should_stop, reason = EarlyStoppingReason.NOT_STOPPED, False, None
            if tie:
                self._best_loss = self._loss
        elif not should_stop:
            self._best_loss = self._loss
        return should_stop, reason

    def _warning(self) -> str | None:
        """What is wrong with the monitor as a whole, or ``None``."""
        if len(self.history) < 2:
            return None
        first, rest = self.history[0], self.history[1:]
        known = [value for value in self.history if not math.isnan(value)]
        if len(set(known)) <= 1:
            found = f"was {first:.4f} after each of {len(self.history)} epochs, so the validation loss chose the epoch"
        elif len(rest) >= self.patience and float(self.best_score) == first and first not in rest:
            found = f"was never better than after epoch 1 ({first:.4f}) in {len(self.history)} epochs, and that is kept"
        else:
            return None
        other = "val/loss" if self.monitor != "val/loss" else "val/macro_ap"
        return (
            f"early_stopping.monitor: {self.monitor} {found}. Set early_stopping.monitor to {other}; or train longer "
            "(trainer.max_epochs, early_stopping.patience), at another model.optimization.learning_rate, or on more "
            "rows with positive labels"
        )

    def state_dict(self) -> dict[str, Any]:
        """Lightning's state, the loss of the best epoch and the monitor of every epoch."""
        return {**super().state_dict(), "best_loss": self._best_loss, "history": list(self.history)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned; checkpoints of mlemo 0.1.0 hold Lightning's state alone."""
        super().load_state_dict(state_dict)
        self._best_loss, self.history = state_dict.get("best_loss", math.inf), list(state_dict.get("history", []))
