"""The parser of training commands: short errors, and the nearest existing names of classes and settings."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from lightning.pytorch import Callback
from lightning.pytorch.cli import LightningArgumentParser

import mlemo.losses
import mlemo.thresholds
from mlemo.callbacks.batch_selection import SelectionStrategy
from mlemo.callbacks.monitoring import mode_of
from mlemo.data import EmotionDataModule
from mlemo.models import MultiLabelModel
from mlemo.nn import frozen_encoder, tfidf  # noqa: F401  # so that their classes are known by short name
from mlemo.nn.encoder import EncoderSource
from mlemo.nn.features import TextFeatures
from mlemo.text import TextCleaning
from mlemo.utils.config_files import with_configs
from mlemo.utils.errors import settings_problem, two_lines, yaml_problem
from mlemo.utils.serialization import class_path

__all__ = ["Parser", "fill_in"]

BASES = (
    MultiLabelModel, EmotionDataModule, Callback, mlemo.losses.Loss, mlemo.losses.WeightController,
    mlemo.thresholds.ThresholdRule, EncoderSource, TextFeatures, TextCleaning, SelectionStrategy,
)  # fmt: skip


class Parser(LightningArgumentParser):
    """Lightning's parser with short errors and the nearest existing names; it reads every spelling of null."""

    def parse_args(  # type: ignore[override]  # argparse has three signatures of it
        self, args: Sequence[str] | None = None, *others: Any, **settings: Any
    ) -> Any:
        """Parse; a nested parser is handed the null that the outer one has read as the word None."""
        if args is not None:
            args = with_configs(args)
        if args is not None and self.exit_on_error:
            files = [args[place + 1] for place, word in enumerate(args[:-1]) if word == "--config"]
            files += [word.removeprefix("--config=") for word in args if word.startswith("--config=")]
            if (problem := yaml_problem(files)) is not None:
                self.error(problem)
        elif args is not None:
            args = [word.removesuffix("None") + "null" if word.endswith("=None") else word for word in args]
        return super().parse_args(args, *others, **settings)

    def add_class_arguments(self, theclass: Any, nested_key: str | None = None, *others: Any, **settings: Any) -> Any:
        """Add the settings of a class; its ``default_parts`` are the defaults of those that are left out."""
        added = super().add_class_arguments(theclass, nested_key, *others, **settings)
        known = {action.dest for action in self._actions}
        for name, part in getattr(theclass, "default_parts", {}).items():
            key = name if nested_key is None else f"{nested_key}.{name}"
            if key in known:
                self.set_defaults({key: {"class_path": class_path(part.func), "init_args": dict(part.keywords)}})
        return added

    def dump(self, config: Any, *others: Any, **settings: Any) -> str:  # type: ignore[override]  # as in jsonargparse
        """The config as text, as it is printed and saved: with the settings that follow others."""
        config = config.clone()
        fill_in(config)
        return super().dump(config, *others, **settings)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Exit with the mistake in one line, instead of hundreds of lines of usage.

        Raises:
            SystemExit: Always, with status 2.
        """
        if not self.exit_on_error:  # a nested parser; the outer one reports this message inside its own
            super().error(message, ex)
        problem = settings_problem(message, self._choices)
        sys.stderr.write(
            f"mlemo: {two_lines(problem)}\nmlemo: `--help` lists the settings, `--print_config` the values\n"
        )
        raise SystemExit(2) from ex

    def _choices(self, owner: str) -> Iterable[str]:
        """Names to choose a hint from, see `settings_problem`."""
        if owner == "class":
            return {cls.__name__ for base in BASES for cls in _subclasses(base)}
        if owner:
            module, _, name = owner.rpartition(".")
            short = {cls.__name__: cls for base in BASES for cls in _subclasses(base)}
            kind = getattr(sys.modules.get(module), name, object) if module else short.get(name, object)
            return inspect.signature(kind).parameters
        parsers = [self, *(sub for action in self._actions for sub in _subparsers(action))]
        names = {action.dest for parser in parsers for action in parser._actions}
        return {name for name in names if not name.endswith(".help")}


def fill_in(config: Any) -> None:
    """Fill in settings that are left out and follow others: seed of the data, modes, monitor of the best checkpoint.

    Args:
        config: Settings of a training command, changed in place; parts that it lacks are passed over.
    """
    seed = config.get("seed_everything")
    if type(seed) is int and "data.init_args.seed" in config and config["data.init_args.seed"] is None:
        config["data.init_args.seed"] = seed
    if "early_stopping.monitor" not in config or "checkpoint.monitor" not in config:
        return
    if config["checkpoint.monitor"] is None:
        for key in ("monitor", "mode"):
            config[f"checkpoint.{key}"] = config[f"early_stopping.{key}"]
    for part in ("early_stopping", "checkpoint"):
        if config[f"{part}.mode"] is None:
            config[f"{part}.mode"] = mode_of(config[f"{part}.monitor"])


def _subparsers(action: argparse.Action) -> list[argparse.ArgumentParser]:
    return list(action.choices.values()) if isinstance(action.choices, Mapping) else []


def _subclasses(base: type) -> Iterator[type]:
    child: type
    for child in base.__subclasses__():
        yield child
        yield from _subclasses(child)
