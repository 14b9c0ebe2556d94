"""A study as data: which settings vary, over what, with which seeds, and what was published on it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import product
from pathlib import Path
from string import Template
from typing import Any

import yaml

__all__ = ["DEFINITIONS", "PlannedRun", "PublishedRow", "Scale", "Study", "load_study"]

DEFINITIONS = Path(__file__).parent / "definitions"
SCALES = ("tiny", "small", "paper")
SEED_WORDS = "--seed_everything=${seed} --data.seed=${seed}"
KEYS = {"title", "paper", "metrics", "class_metrics", "scales", "varies", "cases", "published", "notes"}

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Scale:
    """A size of a study.

    Args:
        words: What all its runs have in common, as on the command line of ``mlemo fit``.
        seeds: A run of every combination for each of them.
        variables: Values of ``${name}`` in words, unless the user gives others.
        seed_words: Words with ``${seed}`` that give a run its seed, such as a fold where folds are the seeds.
    """

    words: tuple[str, ...]
    seeds: tuple[int, ...]
    variables: Mapping[str, str]
    seed_words: tuple[str, ...]


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study.

    Args:
        labels: Setting and label, for each setting that varies.
        seed: Its seed.
        words: Its command line behind ``mlemo fit``.
    """

    labels: Labels
    seed: int
    words: tuple[str, ...]

    @property
    def name(self) -> str:
        """The labels and the seed, to be read by people."""
        return ", ".join([*(label for _, label in self.labels), f"seed {self.seed}"])


@dataclass(frozen=True)
class PublishedRow:
    """A row of a published table.

    Args:
        table: Where it stands in the paper.
        unit: ``percent`` or ``1``.
        labels: Setting and label, as for runs; a row that leaves out a setting holds for all of its labels.
        of_class: The class that it is about; empty for all together.
        values: The number printed for each metric (by the name that the study shows).
        plus_minus: Half the width of the printed interval.
        marked: Metrics whose number has a mark of significance.
    """

    table: str
    unit: str
    labels: Labels
    of_class: str
    values: Mapping[str, float]
    plus_minus: Mapping[str, float]
    marked: tuple[str, ...]


@dataclass(frozen=True)
class Study:
    """A study that was read and checked.

    Args:
        path: Its file.
        title: What it asks.
        paper: Authors and year.
        metrics: Name shown -> key in a run's ``results_test.json``.
        class_metrics: Name shown -> column of a run's ``per_class_test.csv``, for tables with a row a class.
        scales: Its sizes.
        varies: Setting -> label -> words, or words by scale.
        cases: Combinations of labels; all of them where the file gives none.
        published: Rows of the paper's tables.
        notes: What has to be said beside these numbers.
    """

    path: Path
    title: str
    paper: str
    metrics: Mapping[str, str]
    class_metrics: Mapping[str, str]
    scales: Mapping[str, Scale]
    varies: Mapping[str, Mapping[str, tuple[str, ...] | Mapping[str, tuple[str, ...]]]]
    cases: tuple[Labels, ...]
    published: tuple[PublishedRow, ...]
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its name on the command line."""
        return self.path.stem

    def expand(self, scale: str, variables: Mapping[str, str] | None = None) -> list[PlannedRun]:
        """All runs at a scale, seeds innermost; combinations with a label that this scale does not have are left out.

        Args:
            scale: ``tiny``, ``small`` or ``paper``.
            variables: Values of ``${name}`` in words. ``${here}`` is the folder of the study's file.

        Raises:
            ValueError: The study has no such scale, or a variable has no value or is not used.
        """
        if scale not in self.scales:
            raise ValueError(f"{self.path}: no scale {scale!r}; it has {', '.join(self.scales)}")
        size, given = self.scales[scale], dict(variables or {})
        values = {"here": str(self.path.resolve().parent), **size.variables, **given}
        runs, used = [], set()
        for case in self.cases:
            options = [self._option(setting, label, scale) for setting, label in case]
            if any(option is None for option in options):
                continue
            templates = [*size.words, *(word for option in options for word in option or ()), *size.seed_words]
            for seed in size.seeds:
                words = tuple(self._fill(word, {**values, "seed": str(seed)}, scale) for word in templates)
                runs.append(PlannedRun(case, seed, words))
            used |= {name for word in templates for name in Template(word).get_identifiers()}
        if unknown := sorted(given.keys() - used):
            raise ValueError(f"{self.path}, scale {scale}: no run uses {', '.join(unknown)}; used are {sorted(used)}")
        return runs

    def _option(self, setting: str, label: str, scale: str) -> tuple[str, ...] | None:
        option = self.varies[setting][label]
        return option.get(scale) if isinstance(option, Mapping) else option

    def _fill(self, word: str, values: Mapping[str, str], scale: str) -> str:
        try:
            return Template(word).substitute(values)
        except KeyError as error:
            name = error.args[0]
            raise ValueError(
                f"{self.path}, scale {scale}: {word!r} needs a value of {name}; give --set {name}=VALUE"
            ) from None
        except ValueError as error:
            raise ValueError(f"{self.path}, scale {scale}: {word!r}: {error}") from None


def load_study(name: str | Path) -> Study:
    """Read and check a study.

    Args:
        name: Name of a study that comes with mlemo, or a YAML file.

    Raises:
        FileNotFoundError: There is no such study.
        ValueError: The file is not a study; the message names the file and the key.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        known = sorted(file.stem for file in DEFINITIONS.glob("*.yaml"))
        if str(name) not in known:
            near = get_close_matches(str(name), known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise FileNotFoundError(f"no study {str(name)!r}; {hint}mlemo has {', '.join(known)}, or give a YAML file")
        path = DEFINITIONS / f"{name}.yaml"
    if not path.is_file():
        raise FileNotFoundError(f"no study file {path}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    return _Reader(path).study(content)


class _Reader:
    """Turns the content of a file into a study; every complaint names the file and the key."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def wrong(self, key: str, message: str) -> ValueError:
        return ValueError(f"{self.path}: {key}: {message}")

    def mapping(self, key: str, value: Any, keys: set[str] | None = None) -> dict[str, Any]:
        if not isinstance(value, dict) or not value:
            raise self.wrong(key, f"expected a mapping, found {value!r}")
        for name in value:
            if not isinstance(name, str):
                raise self.wrong(key, f"names are text, found {name!r}; put it in quotes")
            if keys is not None and name not in keys:
                raise self.wrong(key, f"unknown key {name!r}, expected some of {', '.join(sorted(keys))}")
        return value

    def text(self, key: str, value: Any) -> str:
        if not isinstance(value, str) or not value:
            raise self.wrong(key, f"expected text, found {value!r}")
        return value

    def words(self, key: str, value: Any) -> tuple[str, ...]:
        if not isinstance(value, str):
            raise self.wrong(key, f"expected words as on the command line, found {value!r}")
        try:
            return tuple(shlex.split(value))
        except ValueError as error:
            raise self.wrong(key, f"{error} in {value!r}") from None

    def items(self, key: str, value: Any) -> list[tuple[str, Any]]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong(key, f"expected a list, found {value!r}")
        return [(f"{key}[{index}]", item) for index, item in enumerate(value)]

    def study(self, content: Any) -> Study:
        content = self.mapping("the file", content, KEYS)
        if missing := sorted({"title", "paper", "metrics", "scales", "varies"} - content.keys()):
            raise self.wrong(missing[0], "is missing")
        metrics, class_metrics = (
            {name: self.text(f"{key}.{name}", value) for name, value in self.mapping(key, content[key]).items()}
            if key in content
            else {}
            for key in ("metrics", "class_metrics")
        )
        varies = {
            setting: {
                label: self.option(f"varies.{setting}.{label}", value)
                for label, value in self.mapping(f"varies.{setting}", options).items()
            }
            for setting, options in self.mapping("varies", content["varies"]).items()
        }
        scales = self.mapping("scales", content["scales"], set(SCALES))
        return Study(
            path=self.path,
            title=self.text("title", content["title"]),
            paper=self.text("paper", content["paper"]),
            metrics=metrics,
            class_metrics=class_metrics,
            scales={name: self.scale(f"scales.{name}", value) for name, value in scales.items()},
            varies=varies,
            cases=self.cases(content.get("cases"), varies),
            published=tuple(
                row
                for key, table in self.items("published", content.get("published"))
                for row in self.table(key, table, varies, metrics, class_metrics)
            ),
            notes=tuple(self.text(key, note) for key, note in self.items("notes", content.get("notes"))),
        )

    def scale(self, key: str, value: Any) -> Scale:
        value = self.mapping(key, value, {"words", "seeds", "variables", "seed_words"})
        seeds = value.get("seeds")
        if not isinstance(seeds, list) or not seeds or not all(type(seed) is int and seed >= 0 for seed in seeds):
            raise self.wrong(f"{key}.seeds", f"expected a list of integers from 0, found {seeds!r}")
        if len(set(seeds)) < len(seeds):
            raise self.wrong(f"{key}.seeds", f"a seed stands twice in {seeds!r}")
        variables = self.mapping(f"{key}.variables", value["variables"]) if "variables" in value else {}
        return Scale(
            words=self.words(f"{key}.words", value.get("words", "")),
            seeds=tuple(seeds),
            variables={name: str(default) for name, default in variables.items()},
            seed_words=self.words(f"{key}.seed_words", value.get("seed_words", SEED_WORDS)),
        )

    def option(self, key: str, value: Any) -> tuple[str, ...] | dict[str, tuple[str, ...]]:
        if value == {}:  # published, and not run here at any scale
            return {}
        if isinstance(value, dict):
            by_scale = self.mapping(key, value, set(SCALES))
            return {scale: self.words(f"{key}.{scale}", words) for scale, words in by_scale.items()}
        return self.words(key, value)

    def cases(self, value: Any, varies: Mapping[str, Mapping[str, Any]]) -> tuple[Labels, ...]:
        """Each case names a label, or several, of every setting; without cases it is the whole grid."""
        given = self.items("cases", value) or [
            ("cases", {setting: list(options) for setting, options in varies.items()})
        ]
        found: list[Labels] = []
        for key, raw in given:
            case = self.mapping(key, raw, set(varies))
            if missing := [setting for setting in varies if setting not in case]:
                raise self.wrong(key, f"no label of {missing[0]}")
            lists = [case[setting] if isinstance(case[setting], list) else [case[setting]] for setting in varies]
            for setting, labels in zip(varies, lists):
                for label in labels:
                    self.known(f"{key}.{setting}", label, varies[setting])
            found += [tuple(zip(varies, labels)) for labels in product(*lists)]
        return tuple(dict.fromkeys(found))

    def known(self, key: str, label: Any, labels: Mapping[str, Any]) -> str:
        if not isinstance(label, str) or label not in labels:
            raise self.wrong(key, f"unknown label {label!r}, expected one of {', '.join(labels)}")
        return label

    def table(
        self,
        key: str,
        value: Any,
        varies: Mapping[str, Mapping[str, Any]],
        metrics: Mapping[str, str],
        class_metrics: Mapping[str, str],
    ) -> list[PublishedRow]:
        table = self.mapping(key, value, {"table", "unit", "rows"})
        name, unit = self.text(f"{key}.table", table.get("table")), table.get("unit")
        if unit not in ("percent", "1"):
            raise self.wrong(f"{key}.unit", f"expected percent or '1', found {unit!r}")
        rows: list[PublishedRow] = []
        for place, raw in self.items(f"{key}.rows", table.get("rows")):
            shown = class_metrics if isinstance(raw, dict) and "class" in raw else metrics
            row = self.mapping(place, raw, {*varies, *shown, "class", "plus_minus", "marked"})
            labels = tuple(
                (setting, self.known(f"{place}.{setting}", row[setting], varies[setting]))
                for setting in varies
                if setting in row
            )
            of_class = self.text(f"{place}.class", row["class"]) if "class" in row else ""
            if any((labels, of_class) == (other.labels, other.of_class) for other in rows):
                raise self.wrong(place, f"a second row of {dict(labels)} {of_class}".rstrip())
            plus_minus = (
                self.mapping(f"{place}.plus_minus", row["plus_minus"], set(shown)) if "plus_minus" in row else {}
            )
            rows.append(
                PublishedRow(
                    table=name,
                    unit=unit,
                    labels=labels,
                    of_class=of_class,
                    values=self.numbers(place, {metric: row[metric] for metric in shown if metric in row}),
                    plus_minus=self.numbers(f"{place}.plus_minus", plus_minus),
                    marked=tuple(
                        self.known(item, label, shown)
                        for item, label in self.items(f"{place}.marked", row.get("marked"))
                    ),
                )
            )
        return rows

    def numbers(self, key: str, values: dict[str, Any]) -> dict[str, float]:
        for name, value in values.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise self.wrong(f"{key}.{name}", f"expected a number, found {value!r}")
        return values
