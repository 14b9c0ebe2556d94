"""LightningCLI over the models and corpora of mlemo, with the callbacks that every run has."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

from mlemo.callbacks import (
    BestCheckpoint,
    Cost,
    EarlyStopping,
    EvaluationFigures,
    FiniteLoss,
    Interruption,
    LossWeightMonitor,
    ModelSummary,
    ProgressBar,
    Results,
    RunCheckpoint,
    ThresholdTuning,
)
from mlemo.callbacks.curve_logger import CurveLogger
from mlemo.callbacks.run_folder import name_folder, root_folder
from mlemo.callbacks.run_manifest import RunManifest
from mlemo.data import EmotionDataModule
from mlemo.labels import LabelSpace
from mlemo.models import MultiLabelModel
from mlemo.runs.checkpoint_io import AtomicCheckpointIO
from mlemo.runs.loading import ReadAlready, take_over
from mlemo.runs.place import check_name
from mlemo.runs.stored_config import own_modules
from mlemo.training.parser import Parser, fill_in
from mlemo.training.quiet import silence_libraries
from mlemo.training.save_config import SaveConfig
from mlemo.training.sharding import check_sharded
from mlemo.training.summary import training_summary
from mlemo.training.teacher import Teacher
from mlemo.training.trainer import RunTrainer
from mlemo.training.trainer_settings import check_trainer
from mlemo.utils.hardware import has_bf16
from mlemo.utils.serialization import class_path

__all__ = ["MlemoCLI", "default_precision", "make_cli"]

log = logging.getLogger(__name__)


#: Callbacks that every training has, each with a key of its own in the config.
STANDING_CALLBACKS: Mapping[str, type[Callback]] = {
    "thresholds": ThresholdTuning,
    "figures": EvaluationFigures,
    "loss_weights": LossWeightMonitor,
    "learning_rates": LearningRateMonitor,
    "cost": Cost,
    "results": Results,
    "progress": ProgressBar,
    "summary": ModelSummary,
    "finite_loss": FiniteLoss,
    "early_stopping": EarlyStopping,
    "checkpoint": BestCheckpoint,
    "last_checkpoint": RunCheckpoint,
    "interruption": Interruption,
}


def default_precision() -> str:
    """The fastest precision that leaves scores unchanged: bf16 mixed where the hardware multiplies in it, else float32.

    On a GPU without bf16 this is fp16 mixed with loss scaling.
    """
    if has_bf16():
        return "bf16-mixed"
    return "16-mixed" if torch.cuda.is_available() else "32-true"


class MlemoCLI(LightningCLI):
    """LightningCLI with the label space linked from the data to the model, and mlemo's callbacks always there.

    Args:
        args: As for LightningCLI.
        checkpoint: The checkpoint that ``--ckpt_path`` names, read by `mlemo.runs.loading.read_checkpoint`.
        command: Words of the command line, as the user gave them.
        kwargs: As for LightningCLI.
    """

    trainer: RunTrainer

    def __init__(
        self, *args: Any, checkpoint: dict[str, Any] | None = None, command: Sequence[str] = (), **kwargs: Any
    ) -> None:
        self._checkpoint, self._command = checkpoint, tuple(command)
        super().__init__(*args, **kwargs)

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]  # static in Lightning
        """The one that is run: a parser for each of the others would take most of the time of a short command."""
        return {name: skipped for name, skipped in super().subcommands().items() if name in self._command[:1]}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Link data and model; give each standing callback a key of its own."""
        parser.link_arguments(
            "data.label_space", "model.init_args.label_space", LabelSpace.as_dict, apply_on="instantiate"
        )
        parser.add_argument("--test_after_fit", type=bool, default=True, help="fit only: score the best checkpoint")
        parser.add_argument("--name", type=str | None, help="name of the run and of its folder (default: version_N)")
        parser.add_argument(
            "--overwrite", action="store_true", help="fit only: delete the files of the run that is in the folder"
        )
        for key, callback in STANDING_CALLBACKS.items():
            parser.add_lightning_class_args(callback, key)
        parser.set_defaults(
            {
                "data": {"class_path": "mlemo.data.SyntheticEmotions"},  # the corpus that needs no file
                # 5 folds: the best or nearly the best test macro-F1 of all rules on five corpora (README)
                "thresholds.rule": {"class_path": "mlemo.thresholds.CrossFittedThreshold"},
                "learning_rates.logging_interval": "step",
                "checkpoint.filename": "best",
                # Lightning's save_last writes only when the best checkpoint changes
                "last_checkpoint.filename": "last",
                "last_checkpoint.enable_version_counter": False,
            }
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse; without Lightning's warning about `args` beside those of the process, which is how it is called."""
        self.config = parser.parse_args(args)

    def before_instantiate_classes(self) -> None:
        """Fill in what follows other settings, before any part is made."""
        settings = self.config if self.subcommand is None else self.config[self.subcommand]
        fill_in(settings)
        if self.subcommand in (None, "fit"):
            check_trainer(settings["trainer"])
        if (name := self._get(self.config, "name")) is not None:
            check_name(name)

    def instantiate_classes(self) -> None:
        """Make trainer, data and model; a checkpoint brings its encoder, whose files need not be there any more."""
        super().instantiate_classes()
        check_sharded(self.trainer, self.model, resumed=self.subcommand == "fit" and self._checkpoint is not None)
        if self._checkpoint is None:
            return
        take_over(self.model, self._checkpoint, self._get(self.config, "ckpt_path"))
        if self.subcommand != "fit":
            self.trainer.strategy.checkpoint_io = ReadAlready(self._checkpoint, type(self.datamodule).__qualname__)

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> Trainer:
        """Make the trainer without the standing callbacks that its settings rule out; settings found are stored."""
        data = self._get(self.config, "data")
        for setting, value in self.datamodule.found_settings().items():
            data[f"init_args.{setting}"] = value
        unwanted: tuple[type[Callback], ...] = ()
        if config.get("enable_progress_bar") is False:
            unwanted += (ProgressBar,)
        if config.get("logger") is False:
            unwanted += (LearningRateMonitor,)
        if config.get("enable_model_summary") is False:
            unwanted += (ModelSummary,)
        wanted = [one for one in callbacks if not isinstance(one, unwanted)]
        wanted.append(Teacher())
        name, checkpoint = self._get(self.config, "name"), self._get(self.config, "ckpt_path", None)
        config["default_root_dir"] = root_folder(config, name, checkpoint if self.subcommand == "fit" else None)
        if not config.get("fast_dev_run"):
            wanted.append(RunManifest(self._command, name, data.as_dict().get("init_args")))
        trainer = super()._instantiate_trainer(config, wanted)
        name_folder(trainer, name)
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:  # one of the user or of a strategy stays
            trainer.strategy.checkpoint_io = AtomicCheckpointIO()
        return trainer

    def _parse_ckpt_path(self) -> None:
        """Nothing to do: `run` has taken the whole config from the checkpoint, not its hyper-parameters alone."""

    def before_fit(self) -> None:
        """Take the run's folder, log what is about to run, and prepare the line that an interruption ends with."""
        self.trainer.take_folder(self._get(self.config, "ckpt_path"), self._get(self.config, "overwrite"))
        self._get(self.config_init, "interruption").trust = own_modules(self.config["fit"].as_dict())
        standing = {key: self._get(self.config_init, key) for key in STANDING_CALLBACKS}
        seed = self._get(self.config, "seed_everything")
        lines = training_summary(self.model, self.datamodule, self.trainer, standing, seed)
        rank_zero_only(log.info)("\n".join(lines))

    def after_fit(self) -> None:
        """Validate and test the best checkpoint, so that a run ends with a result."""
        if not self._get(self.config, "test_after_fit"):
            return
        best = self._get(self.config_init, "checkpoint").best_model_path
        if not best:
            rank_zero_warn("nothing is tested: no validation in training chose a checkpoint")
        else:
            for evaluate in (self.trainer.validate, self.trainer.test):
                evaluate(self.model, datamodule=self.datamodule, ckpt_path=best, weights_only=True, verbose=False)


def make_cli(
    words: list[str],
    run: bool,
    command: Sequence[str],
    checkpoint: dict[str, Any] | None = None,
    kind: type[MlemoCLI] = MlemoCLI,
) -> MlemoCLI:
    """Make a ``MlemoCLI`` with the defaults of mlemo, and run it.

    Args:
        words: The command line, which begins with the command where one is run.
        run: Whether a command is run.
        command: Words of the command line, as the user gave them.
        checkpoint: The checkpoint that ``--ckpt_path`` names.
        kind: The class to make.
    """
    silence_libraries()
    return kind(
        MultiLabelModel,
        EmotionDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        trainer_class=RunTrainer,
        parser_class=Parser,
        save_config_callback=SaveConfig,
        save_config_kwargs={"save_to_log_dir": False},  # not by Lightning, which does not write atomically
        auto_configure_optimizers=False,
        seed_everything_default=42,
        trainer_defaults={
            "precision": default_precision(),
            "max_epochs": 100,
            "log_every_n_steps": 10,
            "use_distributed_sampler": False,  # mlemo's samplers share the rows among processes themselves
            "logger": {"class_path": class_path(CurveLogger), "init_args": {"save_dir": "runs", "name": ""}},
        },
        args=words,
        run=run,
        checkpoint=checkpoint,
        command=command,
    )
