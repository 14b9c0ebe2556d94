"""Messages of libraries that say nothing about a run, left out of its output."""

from __future__ import annotations

import logging
import warnings

__all__ = ["silence_libraries"]

# start of the message, and why it is left out
MESSAGES = (
    ("💡 Tip", "an advertisement"),
    ("TPU available", "true of every machine without one"),
    ("HPU available", "true of every machine without one"),
    ("Loading `train_dataloader` to estimate", "a step of Lightning's own"),
    ("Trainer already configured with model summary", "the table of parts is mlemo's own"),
    ("Restoring states from the checkpoint path", "the result names the checkpoint"),
    ("Loaded model weights from the checkpoint", "the result names the checkpoint"),
)

# pattern of the warning, and why it is left out
WARNINGS = (
    (".*does not have many workers.*", "a batch is one gather, made in the training process"),
    (".*isinstance.treespec, LeafSpec.*", "Lightning's own use of torch"),
    (".*is not supported by the model summary.*", "only the summary's estimate of the size in MB"),
    (".*Checkpoint directory .* exists and is not empty.*", "a resumed run continues in its own folder"),
    (".*Experiment logs directory .* exists and is not empty.*", "its curves are kept under another name"),
    (".*WeightAveraging callback with a model that overrides the configure_model.*", "nothing of mlemo is sharded"),
    (".*is smaller than the logging interval.*", "a line per epoch has the figures"),
)

LOGGERS = ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.accelerators", "lightning.fabric.utilities.seed")


def silence_libraries() -> None:
    """Leave out the messages and warnings above; calling it again changes nothing."""
    for pattern, _reason in WARNINGS:
        warnings.filterwarnings("ignore", message=pattern)
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(known, _WithoutNoise) for known in logger.filters):
            logger.addFilter(_WithoutNoise())


class _WithoutNoise(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        return not any(message.startswith(start) for start, _reason in MESSAGES)
