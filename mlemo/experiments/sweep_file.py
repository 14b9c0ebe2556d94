"""A sweep as data: the settings that it starts from, those that are searched, and what is to be improved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from mlemo.experiments.keyed_reader import KeyedReader
from mlemo.experiments.runs import HARDWARE
from mlemo.experiments.words import Setting, as_text
from mlemo.metrics.weighted import DECISION_METRICS, PROBABILITY_METRICS
from mlemo.training.resolve import first_refused, resolve
from mlemo.utils.errors import nearest
from mlemo.utils.hardware import on_gpu, world_size
from mlemo.utils.yaml_files import line_of, read_settings

__all__ = ["Sweep", "load_sweep"]

NEEDED = ("search", "metric", "direction", "trials")
DEFAULTS = {
    "base": [],
    "set": {},
    "variables": {},
    "seed": 0,
    "startup_trials": 10,
    "pruner": {"class_path": "NopPruner"},
}
METRICS = (
    *(prefix + name for prefix in ("", "tuned_", "cross_fitted_") for name in DECISION_METRICS),
    *PROBABILITY_METRICS,
    "loss",
)


@dataclass(frozen=True)
class Sweep:
    """A sweep that was read.

    Args:
        path: Its file.
        settings: What all trials have in common.
        space: Dotted config key -> the values among which is searched.
        metric: A key of ``results_val.json``.
        direction: ``maximize`` or ``minimize``.
        trials: How many are to be finished.
        seed: Seed of the search; that of the trainings is among the settings.
        startup_trials: How many are drawn at random before what was found guides the search.
        pruner: Breaks off trials that do badly.
    """

    path: Path
    settings: tuple[Setting, ...]
    space: Mapping[str, BaseDistribution]
    metric: str
    direction: Literal["maximize", "minimize"]
    trials: int
    seed: int
    startup_trials: int
    pruner: optuna.pruners.BasePruner

    @property
    def short_names(self) -> dict[str, str]:
        """The ends of the searched keys, as long as needed to distinguish them."""
        parts = {key: key.split(".") for key in self.space}
        return {
            key: next(
                ".".join(part[-n:])
                for n in range(1, len(part) + 1)
                if sum(other[-n:] == part[-n:] for other in parts.values()) == 1
            )
            for key, part in parts.items()
        }

    @property
    def words(self) -> tuple[str, ...]:
        """What all trials have in common, as on the command line of ``mlemo fit``."""
        return tuple(setting.word for setting in self.settings)

    def command(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        """Words behind ``mlemo fit`` that train with these values of the searched settings."""
        return *HARDWARE, *self.words, *(f"--{key}={_text(value)}" for key, value in values.items())

    def check(self) -> bool:
        """Resolve the first config of the space, and one with each other choice, without training anything.

        Returns:
            Whether trials are trained on a GPU where there is one.

        Raises:
            ValueError: A key or choice is none of the config, or a trial would need several devices; the message names
                file, key and the nearest names.
        """
        first = {key: _examples(options)[0] for key, options in self.space.items()}
        config = self._resolve(first)
        for key, options in self.space.items():
            for choice in _examples(options)[1:]:
                self._resolve({**first, key: choice})
        return on_gpu(config)

    def _resolve(self, values: Mapping[str, Any]) -> dict[str, Any]:
        words = self.command(values)
        try:
            return _config(words)
        except ValueError as error:
            place, wrong = str(self.path), first_refused(words, _config)
            if wrong is not None:
                keys = [*HARDWARE, *(setting.place for setting in self.settings)]
                keys += [f"{self.path}:{line_of(self.path, f'search.{key}')}: search.{key}" for key in values]
                place = keys[wrong]
            raise ValueError(f"{place}: {error}") from None


def _config(words: Sequence[str]) -> dict[str, Any]:
    config = resolve(words)
    if (processes := world_size(config)) > 1:
        raise ValueError(f"trainer.devices: a trial is trained on one device, found {processes}")
    return config


def load_sweep(path: Path, variables: Mapping[str, str] | None = None) -> Sweep:
    """Read a sweep.

    Args:
        path: A YAML file.
        variables: Values of ``${name}`` in its settings and choices, before its own ``variables``; ``${here}`` is the
            folder of the file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a sweep; the message names the file and the key.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no sweep file {path}")
    return _Reader(path, dict(variables or {})).sweep(read_settings(path))


class _Reader(KeyedReader):
    """Turns the content of a file into a sweep."""

    def __init__(self, path: Path, given: dict[str, str]) -> None:
        super().__init__(path)
        self.given = given
        self.values = {"here": str(path.resolve().parent), **given}
        self.used: set[str] = set()

    def sweep(self, content: Any) -> Sweep:
        if isinstance(content, dict) and "words" in content:  # as it was once
            self.settings("words", content["words"])
        content = self.mapping("", content, {*NEEDED, *DEFAULTS})
        for name in NEEDED:
            if name not in content:
                raise self.wrong(name, "is missing")
        content = DEFAULTS | content
        for name, least in (("trials", 1), ("seed", 0), ("startup_trials", 1)):
            if type(content[name]) is not int or content[name] < least:
                raise self.wrong(name, f"expected a whole number from {least}, found {content[name]!r}")
        if content["direction"] not in ("maximize", "minimize"):
            raise self.wrong("direction", f"expected maximize or minimize, found {content['direction']!r}")
        if content["metric"] not in METRICS:
            raise self.wrong("metric", f"no metric {content['metric']!r}{_meant(content['metric'], METRICS)}")
        for name in ("variables", "search", "pruner"):
            if not isinstance(content[name], dict) or (name == "search" and not content[name]):
                raise self.wrong(name, f"expected a mapping, found {content[name]!r}")
        self.values = {name: as_text(value) for name, value in content["variables"].items()} | self.values
        settings = (*self.base("base", content["base"]), *self.settings("set", content["set"]))
        settings = tuple(self.fill(setting) for setting in settings)
        space = {str(key): self.options(f"search.{key}", value) for key, value in content["search"].items()}
        if unused := sorted(self.given.keys() - self.used):
            raise ValueError(f"{self.path}: --set: nothing uses {', '.join(unused)}; used are {sorted(self.used)}")
        numbers = {name: content[name] for name in ("trials", "seed", "startup_trials")}
        pruner = self.pruner(content["pruner"])
        return Sweep(self.path, settings, space, content["metric"], content["direction"], pruner=pruner, **numbers)

    def fill(self, setting: Setting) -> Setting:
        self.used.update(Template(setting.word).get_identifiers())
        return setting.fill(self.values)

    def options(self, key: str, value: Any) -> BaseDistribution:
        names = set(value) if isinstance(value, dict) else set()
        if names == {"choices"}:
            choices = value["choices"]
            if not isinstance(choices, list) or not choices:
                raise self.wrong(key, f"choices: expected a list, found {choices!r}")
            for choice in choices:
                if not isinstance(choice, (str, int, float, type(None))):
                    raise self.wrong(key, f"choices: expected text, numbers, true, false or null, found {choice!r}")
            return CategoricalDistribution(
                [self.fill(Setting(item, self.path, key)).word if isinstance(item, str) else item for item in choices]
            )
        if not {"low", "high"} <= names <= {"low", "high", "log", "step"}:
            raise self.wrong(key, f"expected low, high and perhaps log or step, or choices; found {value!r}")
        log = value.get("log", False)
        if not isinstance(log, bool):
            raise self.wrong(key, f"log: expected true or false, found {log!r}")
        try:
            # YAML reads 1e-5, without a point, as text
            found = {name: value[name] for name in ("low", "high", "step") if name in value}
            numbers: dict[str, Any] = {name: n if type(n) is int else float(n) for name, n in found.items()}
            if all(type(number) is int for number in numbers.values()):
                return IntDistribution(log=log, **numbers)
            return FloatDistribution(log=log, **numbers)
        except (TypeError, ValueError) as error:
            raise self.wrong(key, str(error)) from None

    def pruner(self, value: Mapping[str, Any]) -> optuna.pruners.BasePruner:
        name, known = str(value.get("class_path")), [name for name in optuna.pruners.__all__ if name != "BasePruner"]
        if name not in known or not value.keys() <= {"class_path", "init_args"}:
            raise self.wrong("pruner", f"expected class_path and init_args of a pruner of Optuna, found {dict(value)}"
                             f"{_meant(name, known)}")  # fmt: skip
        try:
            pruner: optuna.pruners.BasePruner = getattr(optuna.pruners, name)(**(value.get("init_args") or {}))
        except (TypeError, ValueError) as error:
            raise self.wrong("pruner", str(error)) from None
        return pruner


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"  # 0.30000000000000004 is 0.3
    return as_text(value)


def _examples(options: BaseDistribution) -> Sequence[Any]:
    """Every choice, or the lower end of a range."""
    if isinstance(options, CategoricalDistribution):
        return options.choices
    assert isinstance(options, (IntDistribution, FloatDistribution))
    return [options.low]


def _meant(name: object, known: Sequence[str]) -> str:
    return nearest(str(name), known) or f"; there are {', '.join(known)}"
