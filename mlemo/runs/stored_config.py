"""The config in a checkpoint as vetted settings: no class of it is looked up by importing what the file names."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from jsonargparse import set_parsing_settings
from jsonargparse._common import parsing_settings  # the policy is set by a public function, and only read back here
from lightning.fabric.plugins import CheckpointIO, ClusterEnvironment
from lightning.pytorch import Callback
from lightning.pytorch.accelerators import Accelerator
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins import LayerSync, Precision
from lightning.pytorch.profilers import Profiler
from lightning.pytorch.strategies import Strategy
from tokenizers.pre_tokenizers import PreTokenizer
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from mlemo.data import EmotionDataModule
from mlemo.losses import Loss, WeightController
from mlemo.models import MultiLabelModel
from mlemo.nn.encoder import EncoderSource
from mlemo.nn.features import TextFeatures
from mlemo.runs.limits import read_yaml
from mlemo.text import TextCleaning
from mlemo.thresholds import ThresholdRule
from mlemo.utils.serialization import PACKAGES, Recorded, import_trusted, stored_class

__all__ = [
    "INFERENCE",
    "NOT_NEEDED",
    "check_classes",
    "class_modules",
    "only_known_imports",
    "own_modules",
    "stored_config",
]

log = logging.getLogger(__name__)

#: Parts of a config that a trained model is used with; the rest is the user's own. Scores depend on the precision.
INFERENCE = ("data", "model", "thresholds", "trainer.precision")

#: Settings of a model that a trained one can do without.
NOT_NEEDED = ("loss", "optimization", "encoder")

#: What a class of a module that the user has imported must be derived from, as libraries have other classes as well.
BASES: tuple[type, ...] = (
    MultiLabelModel, EmotionDataModule, Callback, Loss, WeightController, ThresholdRule, EncoderSource, TextFeatures,
    TextCleaning, Recorded, PreTokenizer, Optimizer, LRScheduler, Logger, Strategy, Accelerator, Profiler,
    Precision, ClusterEnvironment, CheckpointIO, LayerSync,
)  # fmt: skip

#: Packages beside mlemo's own whose modules a stored config may name.
LIBRARIES = ("lightning.pytorch", "lightning.fabric", "torch.optim", "tokenizers.pre_tokenizers")


def stored_config(
    checkpoint: Mapping[str, Any], parts: Collection[str] | None = None, trust: Iterable[str] = ()
) -> dict[str, Any]:
    """The settings that a checkpoint was trained with, each class in them vetted; nothing is built.

    A class is one of mlemo, Lightning or ``torch.optim``, of a module that is imported, or of one in ``trust``. With
    ``parts``, what using a trained model does not need is left out where its class is not there: the loss, the
    optimization and the source of the encoder, whose files the checkpoint brings.

    Args:
        checkpoint: A checkpoint, read by `mlemo.runs.loading.read_checkpoint`.
        parts: Names of the parts to be kept, such as ``INFERENCE`` for a model that is only used, with a dot between
            levels; ``None`` for all, with which one's own run continues.
        trust: Modules that the user has named, which are imported.

    Returns:
        Plain settings by part, as in a YAML file; ``{}`` where the checkpoint holds no config.

    Raises:
        ValueError: The config cannot be read, or names a class that is not trusted.
    """
    trusted = tuple(trust)
    import_trusted(trusted)
    if "config" not in checkpoint:
        return {}
    try:
        config = read_yaml(checkpoint["config"])
    except ValueError as error:
        raise ValueError(f"the checkpoint's config cannot be read: {error}") from error
    if parts is not None:
        config = _only(config, parts)
        _leave_out(config, trusted)
        _without_places(config)
    for part, settings in config.items():
        check_classes(settings, part, trusted)
    return config


def check_classes(settings: Any, where: str, trust: Collection[str] = ()) -> None:
    """Check each class that settings name, and import those of mlemo and of the libraries it builds on.

    Args:
        settings: Plain settings.
        where: What they are, for the error.
        trust: Modules that the user has named, which are imported already.

    Raises:
        ValueError: A class is not there, not trusted, or of no kind that a config can name.
    """
    for key, path in _class_paths(settings, where):
        kind = stored_class(path, key, (*PACKAGES, *LIBRARIES))
        if not (issubclass(kind, BASES) or _within(kind.__module__, (*PACKAGES, *trust))):
            raise ValueError(f"the stored {key} {path!r} is no class that a config can name")


def class_modules(settings: Any) -> list[str]:
    """The modules of the classes in settings of the user's own, so that a checkpoint of these may name them too.

    Args:
        settings: Plain settings.

    Example:
        >>> class_modules({"callbacks": [{"class_path": "mine.Callback", "init_args": {}}]})
        ['mine']
    """
    return sorted({str(path).rpartition(".")[0] for _, path in _class_paths(settings, "")} - {""})


def own_modules(settings: Any) -> list[str]:
    """The modules that ``--trust`` has to name when the run of these settings is resumed: the user's own.

    Args:
        settings: Plain settings.
    """
    return [module for module in class_modules(settings) if not _within(module, ("mlemo", *LIBRARIES))]


@contextmanager
def only_known_imports(settings: Any = None, trust: Iterable[str] = ()) -> Iterator[None]:
    """Keep jsonargparse from importing anything but mlemo, its libraries, vetted classes and trusted modules.

    It takes not only a ``class_path`` for the path of a class, but any string where it expects a class or a function.

    Args:
        settings: Settings that `check_classes` has vetted.
        trust: Modules that the user has named.
    """
    known = {"mlemo", "lightning", *LIBRARIES, *trust}
    for key, path in _class_paths(settings, ""):
        kind = stored_class(path, key)
        known |= {path, f"{kind.__module__}.{kind.__qualname__}"}
    keys = ("import_path_verdicts", "import_paths_enforced")
    before = {key: parsing_settings[key] for key in keys}
    set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=sorted(known))
    try:
        yield
    finally:
        parsing_settings.update(before)


def _class_paths(settings: Any, where: str) -> Iterator[tuple[str, Any]]:
    if isinstance(settings, Mapping):
        if "class_path" in settings:
            yield where, settings["class_path"]
        for key, value in settings.items():
            yield from _class_paths(value, f"{where}.{key}" if key != "init_args" else where)
    elif isinstance(settings, list):
        for value in settings:
            yield from _class_paths(value, where)


def _only(config: Mapping[str, Any], parts: Collection[str]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for part in parts:
        name, _, inner = part.partition(".")
        if name in config and not inner:
            kept[name] = config[name]
        elif isinstance(config.get(name), dict) and inner in config[name]:
            kept.setdefault(name, {})[inner] = config[name][inner]
    return kept


def _leave_out(config: dict[str, Any], trust: Collection[str]) -> None:
    """Remove what a trained model does not need and what is not there."""
    model = config.get("model")
    settings = model.get("init_args") if isinstance(model, dict) else None
    if not isinstance(settings, dict):
        return
    for name in NOT_NEEDED:
        try:
            check_classes(settings.get(name), f"model.{name}", trust)
        except ValueError as error:
            del settings[name]
            effect = " (the loss that is shown is that of the default one)" if name == "loss" else ""
            log.warning("model.%s is left out%s: %s", name, effect, error)


def _without_places(settings: Any) -> None:
    """Remove where features were cached, so that nothing is written to a place that a file names."""
    _each_mapping(settings, lambda mapping: mapping.pop("cache_dir", None))


def _each_mapping(settings: Any, change: Callable[[dict[str, Any]], object]) -> None:
    if isinstance(settings, dict):
        change(settings)
        for value in settings.values():
            _each_mapping(value, change)
    elif isinstance(settings, list):
        for value in settings:
            _each_mapping(value, change)


def _within(module: str, packages: Iterable[str]) -> bool:
    return any(f"{module}.".startswith(f"{package}.") for package in packages)
