"""A study as data: which settings vary, over what, with which seeds, and what was published on it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Template
from typing import Any

from mlemo import thresholds
from mlemo.experiments.published import Claim, Labels, PublishedRow, PublishedTest
from mlemo.experiments.words import Setting
from mlemo.thresholds import ThresholdRule

__all__ = ["RULE_SETTING", "Figure", "Labels", "PlannedRun", "Rule", "Scale", "Study"]

RULE_SETTING = "threshold"


@dataclass(frozen=True)
class Scale:
    """A size of a study.

    Args:
        settings: What all its runs have in common.
        seeds: A run of every combination for each of them.
        variables: Values of ``${name}`` in settings, unless the user gives others.
        seed_settings: Settings with ``${seed}`` that give a run its seed, such as a fold where folds are the seeds.
    """

    settings: tuple[Setting, ...]
    seeds: tuple[int, ...]
    variables: Mapping[str, str]
    seed_settings: tuple[Setting, ...]


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study.

    Args:
        labels: Setting and label, for each setting that varies.
        seed: Its seed.
        settings: What the file sets for it, with values in place of variables; later ones count.
    """

    labels: Labels
    seed: int
    settings: tuple[Setting, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """Its command line behind ``mlemo fit``."""
        return tuple(setting.word for setting in self.settings)

    @property
    def name(self) -> str:
        """The labels and the seed, to be read by people."""
        return ", ".join([*(label for _, label in self.labels), f"seed {self.seed}"])


@dataclass(frozen=True)
class Figure:
    """A picture of a study's runs.

    Args:
        kind: ``point``, ``box``, ``line``, ``heatmap``, ``class_gain``, ``curve``, ``density`` or ``forest``.
        title: What it shows.
        source: The figure of the paper that it corresponds to; empty for one of ours.
        metric: Name among the study's metrics, for ``class_gain`` among its class metrics; empty where none is shown.
        across: Setting along the x axis.
        series: Setting that distinguishes curves, colors, panels or the rows of a heat map.
        where: Setting -> the labels that are shown; all of them for a setting that is not in it.
        baseline: Label of ``across`` that gains are counted from.
        scalars: Tags of TensorBoard that are drawn.
        against: ``epoch``, ``step`` or ``seconds``, what they are drawn over.
    """

    kind: str
    title: str
    source: str = ""
    metric: str = ""
    across: str = ""
    series: str = ""
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    baseline: str = ""
    scalars: tuple[str, ...] = ()
    against: str = ""


@dataclass(frozen=True)
class Rule:
    """A decision rule as a study's file names it.

    Args:
        class_name: A class of :mod:`mlemo.thresholds`.
        arguments: What it is built with.
    """

    class_name: str
    arguments: Mapping[str, Any]

    def build(self) -> ThresholdRule:
        """The rule, not yet fitted.

        Raises:
            TypeError: The class has no such argument.
            ValueError: There is no such class, or an argument has a wrong value.
        """
        rule = getattr(thresholds, self.class_name, None)
        if not (isinstance(rule, type) and issubclass(rule, ThresholdRule)):
            raise ValueError(f"mlemo.thresholds has no rule {self.class_name!r}")
        return rule(**self.arguments)


@dataclass(frozen=True)
class Study:
    """A study that was read and checked.

    Args:
        path: Its file.
        title: Its question.
        paper: Authors and year.
        metrics: Name shown -> key in a run's ``results_test.json``, or ``cost.<key>`` for one of its ``cost.json``.
        class_metrics: Name shown -> column of a run's ``per_class_test.csv``, for tables with a row a class.
        scales: Its sizes.
        varies: Setting -> label -> what it sets, or that by scale.
        cases: Combinations of labels; all of them where the file gives none.
        rules: Decision rules that every run is scored under after the fact, by their label of the setting
            ``threshold``, which makes no runs; empty where each run is scored under its own rule.
        compare: Setting whose labels are compared with its first one; it changes no run.
        published: Rows of the paper's tables.
        published_tests: Rows of the paper's tables of p-values.
        claims: What the paper claims about its runs, or what is asked of them.
        figures: Pictures of its runs.
        notes: What has to be said beside these numbers.
    """

    path: Path
    title: str
    paper: str
    metrics: Mapping[str, str]
    class_metrics: Mapping[str, str]
    scales: Mapping[str, Scale]
    varies: Mapping[str, Mapping[str, tuple[Setting, ...] | Mapping[str, tuple[Setting, ...]]]]
    cases: tuple[Labels, ...]
    rules: Mapping[str, Rule]
    compare: str
    published: tuple[PublishedRow, ...]
    published_tests: tuple[PublishedTest, ...]
    claims: tuple[Claim, ...]
    figures: tuple[Figure, ...]
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its name on the command line."""
        return self.path.stem

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings that vary, decision rules after the fact last."""
        return (*self.varies, *((RULE_SETTING,) if self.rules else ()))

    def comparing(self, setting: str) -> Study:
        """The same study with the labels of another setting compared.

        Raises:
            ValueError: There is no such setting.
        """
        if setting not in self.settings:
            raise ValueError(f"{self.path}: no setting {setting!r} to compare; it has {', '.join(self.settings)}")
        return replace(self, compare=setting)

    def only(self, chosen: Mapping[str, Collection[str]]) -> Study:
        """A part of the study: the combinations of some labels, some of the seeds, and what was published of these.

        Args:
            chosen: Setting -> labels that are kept; ``seed`` -> seeds that are kept. Others keep all of theirs.

        Raises:
            ValueError: There is no such setting, label or seed, or no combination has the labels.
        """
        seeds = sorted({str(seed) for size in self.scales.values() for seed in size.seeds})
        known = {**{setting: list(labels) for setting, labels in self.varies.items()}, "seed": seeds}
        for setting, labels in chosen.items():
            if setting not in known:
                raise ValueError(f"{self.path}: no setting {setting!r}; it has {', '.join(known)}")
            if unknown := [label for label in labels if label not in known[setting]]:
                raise ValueError(f"{self.path}: {setting} has no {unknown[0]!r}; it has {', '.join(known[setting])}")
        cases = [case for case in self.cases if _within(chosen, dict(case))]
        if not cases:
            raise ValueError(f"{self.path}: no combination has {dict(chosen)}")
        scales = {
            name: replace(size, seeds=tuple(seed for seed in size.seeds if str(seed) in chosen.get("seed", seeds)))
            for name, size in self.scales.items()
        }
        published = tuple(row for row in self.published if _within(chosen, dict(row.labels)))
        tests = []
        for test in self.published_tests:  # over all combinations of the other settings, so not of a part of these
            own = dict([(test.compare, test.label), *([test.within] if test.within else [])])
            if _within(chosen, own) and chosen.keys() <= {*own, "seed"}:
                tests.append(test)
        figures = tuple(
            figure
            for figure in self.figures
            if all(set(labels) & set(chosen.get(setting, labels)) for setting, labels in figure.where.items())
        )
        claims = tuple(
            claim
            for claim in self.claims
            if {claim.label, claim.against} <= {*chosen.get(claim.setting, (claim.label, claim.against))}
            and all(set(labels) & set(chosen.get(setting, labels)) for setting, labels in claim.where.items())
        )
        return replace(
            self,
            cases=tuple(cases),
            scales=scales,
            published=published,
            published_tests=tuple(tests),
            claims=claims,
            figures=figures,
        )

    def expand(self, scale: str, variables: Mapping[str, str] | None = None) -> list[PlannedRun]:
        """All runs at a scale, seeds innermost; combinations with a label that this scale does not have are left out.

        Args:
            scale: ``tiny``, ``small`` or ``paper``.
            variables: Values of ``${name}`` in settings. ``${here}`` is the folder of the study's file.

        Raises:
            ValueError: The study has no such scale, or a variable has no value or is not used.
        """
        if scale not in self.scales:
            raise ValueError(f"{self.path}: no scale {scale!r}; it has {', '.join(self.scales)}")
        size, given = self.scales[scale], dict(variables or {})
        values = {"here": str(self.path.resolve().parent), **size.variables, **given}
        runs, used = [], set()
        for case in self.cases:
            templates = self._templates(case, scale)
            if templates is None:
                continue
            for seed in size.seeds:
                own = {**values, "seed": str(seed)}
                runs.append(PlannedRun(case, seed, tuple(template.fill(own) for template in templates)))
            used |= {name for template in templates for name in Template(template.word).get_identifiers()}
        if unknown := sorted(given.keys() - used):
            raise ValueError(f"{self.path}, scale {scale}: no run uses {', '.join(unknown)}; used are {sorted(used)}")
        return runs

    def values_in(self, words: Sequence[str], case: Labels, seed: int, scale: str) -> dict[str, str] | None:
        """The values of ``${name}`` with which the study has these words for a run; None where it has other words.

        Args:
            words: The words of a run, as it was run.
            case: Its labels.
            seed: Its seed.
            scale: ``tiny``, ``small`` or ``paper``.
        """
        templates = self._templates(case, scale)
        if templates is None:
            return None
        found = re.fullmatch(_pattern("\0".join(template.word for template in templates)), "\0".join(words))
        if found is None or found.groupdict().get("seed", str(seed)) != str(seed):
            return None
        return {name: value for name, value in found.groupdict().items() if name not in ("seed", "here")}

    def _templates(self, case: Labels, scale: str) -> list[Setting] | None:
        """The settings of a combination before they are filled in; None where the scale does not have it."""
        size = self.scales[scale]
        options = [self._option(setting, label, scale) for setting, label in case]
        if any(option is None for option in options):
            return None
        return [*size.settings, *(own for option in options for own in option or ()), *size.seed_settings]

    def _option(self, setting: str, label: str, scale: str) -> tuple[Setting, ...] | None:
        option = self.varies[setting][label]
        return option.get(scale) if isinstance(option, Mapping) else option


def _within(chosen: Mapping[str, Collection[str]], labels: Mapping[str, str]) -> bool:
    return all(label in chosen.get(setting, [label]) for setting, label in labels.items())


def _pattern(template: str) -> str:
    """What a template may become, as a regular expression with a group for each variable; 0.5 may be 0.50."""
    pattern, end = "", 0
    for found in Template.pattern.finditer(template):
        name = found["named"] or found["braced"]
        group = rf"\{Template.delimiter}" if name is None else rf"(?P<{name}>[^\0]*)"
        again = name is not None and f"(?P<{name}>" in pattern
        pattern += re.escape(template[end : found.start()]) + (f"(?P={name})" if again else group)
        end = found.end()
    return re.sub(r"(=\d+\\\.\d+)(?=\0|\Z)", r"\g<1>0*", pattern + re.escape(template[end:]))
