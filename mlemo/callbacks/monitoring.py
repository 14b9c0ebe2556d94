"""What early stopping and the best checkpoint share: the direction of a monitor, ties, and the warm-up."""

from __future__ import annotations

import math

from lightning.pytorch import Trainer

__all__ = ["MONITOR", "breaks_tie", "in_warmup", "mode_of", "validation_loss"]

#: The default of ``early_stopping.monitor``, and thereby of ``checkpoint.monitor``; see docs/selection.md.
MONITOR = "val/macro_ap"

#: Names of metrics that are better when they are lower end in one of these.
LOWER_IS_BETTER = ("loss", "error")


def mode_of(monitor: str | None) -> str:
    """``"min"`` for a loss or an error, ``"max"`` for a score."""
    return "min" if monitor is None or monitor.endswith(LOWER_IS_BETTER) else "max"


def validation_loss(trainer: Trainer) -> float:
    """Loss of the last validation, infinite where it is unknown or NaN."""
    loss = float(trainer.callback_metrics.get("val/loss", math.inf))
    return math.inf if math.isnan(loss) else loss


def in_warmup(trainer: Trainer) -> bool:
    """Whether no step was taken behind the warm-up, which is the share ``model.optimization.warmup`` of all steps."""
    share: float = getattr(getattr(trainer.lightning_module, "optimization", None), "warmup", 0.0)
    return share > 0 and trainer.global_step <= share * trainer.estimated_stepping_batches


def breaks_tie(loss: float, kept_loss: float) -> bool:
    """Whether an epoch whose monitor equals that of the kept epoch replaces it: by a lower loss, or as the later."""
    return loss <= kept_loss
