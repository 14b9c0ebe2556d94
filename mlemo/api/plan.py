"""The runs of an ablation: variants over a base, with their seeds, their settings and their addresses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlemo.api.experiment import Experiment
from mlemo.api.settings import words_of
from mlemo.experiments.runs import StudyRun, address_of, study_run
from mlemo.runs.stored_config import class_modules

__all__ = ["VARIANT", "check_folders", "seeds_of", "variant_runs"]

VARIANT = "variant"  #: the setting that varies, as reports name it


def seeds_of(base: Experiment, seeds: int | Sequence[int]) -> tuple[int, ...]:
    """The seeds of an ablation; arguments as for `ablate`.

    Raises:
        ValueError: There is none, one occurs twice, or one is no integer from 0.
    """
    if isinstance(seeds, int):
        if seeds < 1:
            raise ValueError(f"expected at least one seed, found {seeds}")
        first = base.config["seed_everything"]
        first = first if type(first) is int else 42  # true and false stand for a random seed and for none
        return tuple(range(first, first + seeds))
    found = tuple(seeds)
    if not found or len(set(found)) < len(found) or not all(type(seed) is int and seed >= 0 for seed in found):
        raise ValueError(f"expected a number of seeds, or different integers from 0, found {seeds!r}")
    return found


def variant_runs(base: Experiment, name: str, settings: Mapping[str, Any], seeds: Sequence[int]) -> list[StudyRun]:
    """The runs of a variant.

    Args:
        base: What all variants have in common.
        name: Name of the variant.
        settings: What it sets.
        seeds: A run for each of them.

    Raises:
        ValueError: A setting is wrong, or a class is where other processes cannot import it.
    """
    if not isinstance(name, str) or not isinstance(settings, Mapping):
        raise ValueError(f"expected the name of a variant and its settings by key, found {name!r}: {settings!r}")
    try:
        words = [*base.words, *words_of(settings)]
        first = study_run(_name(name, seeds[0]), {VARIANT: name}, seeds[0], [*words, *_seed_words(seeds[0])])
    except ValueError as error:
        raise ValueError(f"variant {name!r}: {error}") from error
    if "__main__" in class_modules(first.config):
        raise ValueError(
            f"variant {name!r}: a class is defined in the notebook or script itself, from where the processes that "
            "train cannot import it; write it into a module beside it, such as mine.py, and import it from there"
        )
    return [first, *(_with_seed(first, name, words, seed) for seed in seeds[1:])]


def _with_seed(run: StudyRun, name: str, words: Sequence[str], seed: int) -> StudyRun:
    """The run with another seed; reading its words again would take most of the time of planning."""
    data = {**run.config["data"], "init_args": {**run.config["data"]["init_args"], "seed": seed}}
    config = {**run.config, "seed_everything": seed, "data": data}
    own = (*words, *_seed_words(seed))
    address = address_of(config, run.data)
    return replace(run, name=_name(name, seed), seed=seed, words=own, config=config, address=address)


def _seed_words(seed: int) -> list[str]:
    return [f"--seed_everything={seed}", f"--data.seed={seed}"]


def _name(variant: str, seed: int) -> str:
    return f"{variant}, seed {seed}"


def check_folders(runs: Iterable[StudyRun]) -> None:
    """Check the folders of data that runs name, which each run would find out by itself, after minutes.

    Raises:
        ValueError: One is not there.
    """
    for run in runs:
        place = (run.config["data"].get("init_args") or {}).get("data_dir")
        if place is not None and not Path(place).is_dir():
            raise ValueError(f"{run.name}: data.data_dir {place} is not a folder, looked for from {Path.cwd()}")
