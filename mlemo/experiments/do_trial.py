"""One trial, in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lightning.pytorch.callbacks import ModelCheckpoint

from mlemo.experiments.do import remaining_words
from mlemo.runs.files import RESULTS
from mlemo.training import run

__all__ = ["do_trial"]


def do_trial(words: Sequence[str], folder: Path) -> None:
    """Train, or continue to, and validate the best checkpoint; the test split is not looked at.

    Args:
        words: The command line behind ``mlemo fit``.
        folder: Where the run writes; what an earlier try left there is continued.
    """
    if RESULTS.path(folder, "val").is_file():
        return
    cli = run("fit", [*remaining_words(words, folder), "--test_after_fit=false"])
    checkpoints = (callback for callback in cli.trainer.checkpoint_callbacks if isinstance(callback, ModelCheckpoint))
    best = next(callback.best_model_path for callback in checkpoints if callback.monitor)
    cli.trainer.validate(cli.model, datamodule=cli.datamodule, ckpt_path=best, weights_only=True, verbose=False)
