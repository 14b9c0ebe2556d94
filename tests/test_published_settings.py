"""Experiment files and studies at scale paper resolve to what the papers state, as listed in ``published_settings``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlemo.experiments.study import PlannedRun
from mlemo.experiments.study_file import DEFINITIONS, load_study

LISTS = sorted((Path(__file__).parent / "published_settings").glob("*.yaml"))
EXPERIMENTS = Path(__file__).parents[1] / "configs" / "experiment"
#: Files and studies that are of no paper.
OWN_EXPERIMENTS = {
    "few_examples_semeval2018_english", "few_examples_synthetic", "linear_mulan", "linear_semeval2018_english",
    "lora_semeval2018_english", "small_bert_wdl", "small_plain",
    "synthetic",
}  # fmt: skip
OWN_STUDIES = {"batch-selection-text", "losses-2026", "selection", "wdl-order-free"}
GROUPS = [
    pytest.param(group, id=f"{path.stem}, {group['source']}")
    for path in LISTS
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
]


@pytest.fixture(scope="module")
def resolved(fit_parser: Any) -> Any:
    """The settings of a command line, each under its dotted key; the same words are read once."""

    @cache
    def settings(words: tuple[str, ...]) -> dict[str, Any]:
        config = fit_parser.parse_args(["fit", *words])["fit"].as_dict()
        return dict(flat("", config))

    return settings


def flat(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Dotted keys as on the command line; a class is the name of its class, callbacks stand under their names."""
    if isinstance(value, Mapping) and "class_path" in value:
        yield key, value["class_path"].rsplit(".", 1)[-1]
        for name, item in (value.get("init_args") or {}).items():
            yield from flat(f"{key}.{name}", item)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from flat(f"{key}.{name}" if key else name, item)
    elif key == "trainer.callbacks" and value:
        names = [item["class_path"].rsplit(".", 1)[-1] for item in value]
        yield key, names
        for name, item in zip(names, value, strict=True):
            yield from flat(f"{key}.{name}", item)
    else:
        yield key, value


@cache
def paper_runs(name: str) -> list[PlannedRun]:
    """Runs of a study at scale paper, with a made-up value for each variable that has no default."""
    study = load_study(name)
    size = study.scales["paper"]
    options = [study.varies[setting][label] for case in study.cases for setting, label in case]
    at_scale = [option.get("paper", ()) if isinstance(option, dict) else option for option in options]
    own = [setting for settings in at_scale for setting in settings]
    words = " ".join(setting.word for setting in (*size.settings, *own))
    names = set(re.findall(r"\$\{(\w+)\}", words)) - size.variables.keys() - {"seed"}
    return study.expand("paper", {name: f"/nowhere/{name}" for name in names})


def chosen(group: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Name and words of each experiment file of a group, and of one run of its studies per value of the settings."""
    for pattern in group.get("experiments", []):
        files = [path for path in sorted(EXPERIMENTS.glob("*.yaml")) if fnmatch(path.stem, pattern)]
        assert files, pattern
        for path in files:
            yield path.name, ("--config", str(path))
    for name, where in group.get("studies", {}).items():
        wanted = {key: value if isinstance(value, list) else [value] for key, value in where.items()}
        runs = [
            run
            for run in paper_runs(name)
            if all(dict(run.labels).get(key) in values for key, values in wanted.items())
        ]
        assert runs, (name, where)
        distinct: dict[tuple[str, ...], PlannedRun] = {}
        for run in runs:
            distinct.setdefault(tuple(word for word in run.words if sets(word, group["settings"])), run)
        for run in distinct.values():
            yield f"{name}: {run.name}", run.words


def sets(word: str, settings: Mapping[str, Any]) -> bool:
    """Whether a word of the command line sets one of the settings, or a part that one of them belongs to."""
    key = word.removeprefix("--").split("=", 1)[0].removesuffix("+")
    if key.startswith("trainer.callbacks"):  # without the name of the callback
        key = "trainer.callbacks"
    return any(setting == key or setting.startswith(f"{key}.") for setting in settings)


@pytest.mark.parametrize("group", GROUPS)
def test_what_runs_is_what_the_paper_states(group: Mapping[str, Any], resolved: Any) -> None:
    for name, words in chosen(group):
        found = resolved(words)
        assert {key: found.get(key, "missing") for key in group["settings"]} == group["settings"], name


def test_every_experiment_and_every_study_is_of_a_paper_or_ours() -> None:
    groups = [parameter.values[0] for parameter in GROUPS]
    patterns = [pattern for group in groups for pattern in group.get("experiments", [])]
    files = {path.stem for path in EXPERIMENTS.glob("*.yaml")}
    assert {name for name in files if not any(fnmatch(name, pattern) for pattern in patterns)} == OWN_EXPERIMENTS
    studies = {name for group in groups for name in group.get("studies", {})}
    assert {path.stem for path in DEFINITIONS.glob("*.yaml")} - studies == OWN_STUDIES
