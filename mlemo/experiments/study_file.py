"""The file of a study: YAML, read and checked key by key."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from itertools import product
from pathlib import Path
from typing import Any

from mlemo.experiments.published_reader import PublishedReader
from mlemo.experiments.study import RULE_SETTING, Figure, Labels, Rule, Scale, Study
from mlemo.experiments.words import Setting, as_text
from mlemo.utils.yaml_files import read_settings

__all__ = ["DEFINITIONS", "load_study"]

DEFINITIONS = Path(__file__).parent / "definitions"
SEED_SET = {"seed_everything": "${seed}", "data.seed": "${seed}"}
NO_RUNS = "no runs"
KEYS = {"title", "paper", "metrics", "class_metrics", "scales", "varies", "cases", "rules", "compare", "published",
        "published_tests", "claims", "figures", "notes"}  # fmt: skip
EVERY_FIGURE = {"kind", "title", "source", "where"}
# kind of figure -> the keys that it must have, and those that it may have
FIGURES = {
    "point": ({"metric", "across"}, {"series"}),
    "box": ({"metric", "across"}, {"series"}),
    "line": ({"metric", "across"}, {"series"}),
    "heatmap": ({"metric", "across", "series"}, set()),
    "class_gain": ({"metric", "across", "baseline"}, set()),
    "curve": ({"scalars", "against"}, {"series"}),
    "density": (set(), {"series"}),
    "forest": ({"metric"}, set()),
}


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
    return _StudyReader(path).study(read_settings(path))


class _StudyReader(PublishedReader):
    """Turns the content of a file into a study."""

    def study(self, content: Any) -> Study:
        content = self.mapping("", content, KEYS)
        if missing := sorted({"title", "paper", "metrics", "scales", "varies"} - content.keys()):
            raise self.wrong(missing[0], "is missing")
        scales = self.mapping("scales", content["scales"])
        self.scales = set(scales)
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
        rules = {
            label: self.rule(f"rules.{label}", value)
            for label, value in (self.mapping("rules", content["rules"]) if "rules" in content else {}).items()
        }
        if rules and RULE_SETTING in varies:
            raise self.wrong("rules", f"the setting {RULE_SETTING} varies already")
        shown = varies | ({RULE_SETTING: rules} if rules else {})
        compare = self.known("compare", content.get("compare", list(shown)[-1]), shown)
        return Study(
            path=self.path,
            title=self.text("title", content["title"]),
            paper=self.text("paper", content["paper"]),
            metrics=metrics,
            class_metrics=class_metrics,
            scales={name: self.scale(f"scales.{name}", value) for name, value in scales.items()},
            varies=varies,
            cases=self.cases(content.get("cases"), varies),
            rules=rules,
            compare=compare,
            published=tuple(
                row
                for key, table in self.items("published", content.get("published"))
                for row in self.table(key, table, shown, metrics, class_metrics)
            ),
            published_tests=tuple(
                row
                for key, table in self.items("published_tests", content.get("published_tests"))
                for row in self.tests(key, table, shown, metrics, compare)
            ),
            claims=tuple(
                self.claim(key, claim, shown, metrics, compare)
                for key, claim in self.items("claims", content.get("claims"))
            ),
            figures=tuple(
                self.figure(key, figure, shown, metrics, class_metrics)
                for key, figure in self.items("figures", content.get("figures"))
            ),
            notes=tuple(self.text(key, note) for key, note in self.items("notes", content.get("notes"))),
        )

    def scale(self, key: str, value: Any) -> Scale:
        if isinstance(value, dict) and "words" in value:  # as it was once
            self.settings(f"{key}.words", value["words"])
        value = self.mapping(key, value, {"base", "set", "seeds", "variables", "seed_set"})
        seeds = value.get("seeds")
        if not isinstance(seeds, list) or not seeds or not all(type(seed) is int and seed >= 0 for seed in seeds):
            raise self.wrong(f"{key}.seeds", f"expected a list of integers from 0, found {seeds!r}")
        if len(set(seeds)) < len(seeds):
            raise self.wrong(f"{key}.seeds", f"a seed occurs twice in {seeds!r}")
        variables = self.mapping(f"{key}.variables", value["variables"]) if "variables" in value else {}
        return Scale(
            settings=self.part(key, value),
            seeds=tuple(seeds),
            variables={name: as_text(default) for name, default in variables.items()},
            seed_settings=self.settings(f"{key}.seed_set", value.get("seed_set", SEED_SET)),
        )

    def option(self, key: str, value: Any) -> tuple[Setting, ...] | dict[str, tuple[Setting, ...]]:
        """Settings at every scale, or by scale; published alone, an option has none of the scales."""
        if value == NO_RUNS:
            return {}
        if value is None:
            raise self.wrong(key, f"expected settings, {{}} for none, or {NO_RUNS!r} where only the paper has it")
        if isinstance(value, dict) and (known := value.keys() & self.scales):
            if other := sorted(value.keys() - known):
                raise self.wrong(f"{key}.{other[0]}", f"no scale, beside {', '.join(sorted(known))}")
            return {scale: self.own_settings(f"{key}.{scale}", own) for scale, own in value.items()}
        return self.own_settings(key, value)

    def own_settings(self, key: str, value: Any) -> tuple[Setting, ...]:
        if isinstance(value, dict) and value and value.keys() <= {"base", "set"}:
            return self.part(key, value)
        return self.settings(key, value)

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

    def rule(self, key: str, value: Any) -> Rule:
        rule = self.mapping(key, value, {"class_path", "init_args"})
        arguments = self.mapping(f"{key}.init_args", rule["init_args"]) if "init_args" in rule else {}
        found = Rule(self.text(f"{key}.class_path", rule.get("class_path")), arguments)
        try:
            found.build()
        except (TypeError, ValueError) as error:
            raise self.wrong(key, str(error)) from error
        return found

    def figure(
        self,
        key: str,
        content: Any,
        settings: Mapping[str, Mapping[str, Any]],
        metrics: Mapping[str, str],
        class_metrics: Mapping[str, str],
    ) -> Figure:
        kind = self.mapping(key, content).get("kind")
        if not isinstance(kind, str) or kind not in FIGURES:
            raise self.wrong(f"{key}.kind", f"expected one of {', '.join(FIGURES)}, found {kind!r}")
        needed, allowed = FIGURES[kind]
        figure = self.mapping(key, content, EVERY_FIGURE | needed | allowed)
        if missing := sorted(name for name in needed if not figure.get(name)):
            raise self.wrong(f"{key}.{missing[0]}", f"is missing, and a {kind} needs it")
        shown = class_metrics if kind == "class_gain" else metrics
        for name, known in (("metric", shown), ("across", settings), ("series", settings)):
            if name in figure:
                self.known(f"{key}.{name}", figure[name], known)
        if "baseline" in figure:
            self.known(f"{key}.baseline", figure["baseline"], settings[figure["across"]])
        if figure.get("against", "epoch") not in ("epoch", "step", "seconds"):
            raise self.wrong(f"{key}.against", f"expected epoch, step or seconds, found {figure['against']!r}")
        where = self.where(f"{key}.where", figure.get("where"), settings)
        return Figure(
            kind=kind,
            title=self.text(f"{key}.title", figure.get("title")),
            source=self.text(f"{key}.source", figure["source"]) if "source" in figure else "",
            where=where,
            scalars=tuple(self.text(item, tag) for item, tag in self.items(f"{key}.scalars", figure.get("scalars"))),
            **{name: figure[name] for name in ("metric", "across", "series", "baseline", "against") if name in figure},
        )
