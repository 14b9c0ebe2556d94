"""The resolved config of a run, in its folder and in its checkpoints."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, SaveConfigCallback

from mlemo.callbacks.curve_logger import CurveLogger
from mlemo.callbacks.run_folder import run_folder
from mlemo.runs.atomic import write_atomically
from mlemo.runs.files import CONFIG

__all__ = ["SaveConfig"]


class SaveConfig(SaveConfigCallback):
    """Saves the resolved config in the run's folder and in every checkpoint, so that a checkpoint is complete."""

    def __init__(self, parser: LightningArgumentParser, config: Any, *args: Any, **kwargs: Any) -> None:
        config = config.clone()
        config["name"], config["overwrite"] = None, False  # a run that is made from this config is another one
        super().__init__(parser, config, *args, **kwargs)

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the file, and the settings for TensorBoard; called in the main process alone, once."""
        write_atomically(CONFIG.path(run_folder(trainer)), self._yaml)
        for logger in trainer.loggers:
            if isinstance(logger, CurveLogger):
                logger.log_settings(self.config.as_dict())

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Put the config into the checkpoint as YAML."""
        checkpoint["config"] = self._yaml

    @cached_property
    def _yaml(self) -> str:
        # writing it takes a good part of the time that an epoch over feature vectors takes, and it does not change
        return self.parser.dump(self.config, skip_none=False)
