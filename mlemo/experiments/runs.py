"""What a run is: its resolved config, and the address that follows from everything that changes its result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from pydoc import locate
from typing import Any

from mlemo.experiments.study import Study
from mlemo.training.resolve import first_refused, resolve
from mlemo.utils.hardware import world_size
from mlemo.utils.serialization import class_path

__all__ = ["HARDWARE", "StudyRun", "address_of", "checksum", "data_checksums", "study_run", "study_runs"]

#: Hardware of a run of a study or a sweep unless its words say otherwise: the same on every machine.
HARDWARE = ("--trainer.devices=1", "--trainer.precision=32-true")

WITHOUT_EFFECT = (
    "ckpt_path", "weights_only", "progress", "results", "figures", "cost", "finite_loss", "summary", "interruption",
    "name", "overwrite",
)  # fmt: skip
WITHOUT_EFFECT_IN_TRAINER = ("logger", "default_root_dir", "enable_progress_bar", "enable_model_summary", "profiler")
#: Where the data lie, and where batches of them are made: the batches are the same.
WITHOUT_EFFECT_IN_DATA = ("map_from", "cache_dir", "on_device")
#: Settings of parts that came after the first addresses, with the values that change nothing and count for nothing.
LATER = {"data": {"global_batch_size": None}}


@dataclass(frozen=True)
class StudyRun:
    """A run with its address.

    Args:
        name: Labels and seed.
        labels: Setting -> label.
        seed: Its seed.
        words: Its command line behind ``mlemo fit``, without `HARDWARE`, which precedes it.
        config: The config that these words resolve to.
        data: Checksums of the files and folders that the config names.
        address: Hash of what changes its result.
    """

    name: str
    labels: Mapping[str, str]
    seed: int
    words: tuple[str, ...]
    config: dict[str, Any]
    data: Mapping[str, str]
    address: str


def study_runs(study: Study, scale: str, variables: Mapping[str, str] | None = None) -> Iterator[StudyRun]:
    """The runs of a study at a scale with their addresses.

    Raises:
        ValueError: As for ``Study.expand``, or ``mlemo fit`` has no such settings, or they name devices whose number
            depends on the machine; the message begins with file and line.
    """
    for planned in study.expand(scale, variables):
        try:
            run = study_run(planned.name, dict(planned.labels), planned.seed, planned.words)
        except ValueError as error:
            wrong = first_refused([*HARDWARE, *planned.words], _config)
            place = study.path if wrong is None else planned.settings[wrong - len(HARDWARE)].place
            raise ValueError(f"{place}, scale {scale}, {planned.name}: {error}") from error
        yield run


def study_run(name: str, labels: Mapping[str, str], seed: int, words: Sequence[str]) -> StudyRun:
    """A run with its config and its address; arguments as for `StudyRun`.

    Raises:
        ValueError: The words are no command line of ``mlemo fit``, or name devices whose number depends on the machine.
    """
    config = _config([*HARDWARE, *words])
    data = data_checksums(config)
    return StudyRun(name, labels, seed, tuple(words), config, data, address_of(config, data))


def _config(words: Sequence[str]) -> dict[str, Any]:
    config = resolve(words)
    world_size(config)
    return config


def address_of(config: Mapping[str, Any], data: Mapping[str, str]) -> str:
    """Hash of everything that changes the result of a run.

    Settings of what is written where do not count, nor does the order of the settings, nor by which of its paths a
    class is named. A file or folder counts by what is in it, wherever it lies.

    Args:
        config: A resolved config.
        data: Checksum of each path in it.

    Returns:
        The letter r and 19 hexadecimal digits.
    """
    counted = {key: value for key, value in config.items() if key not in WITHOUT_EFFECT}
    trainer = counted.get("trainer") or {}
    counted["trainer"] = {key: value for key, value in trainer.items() if key not in WITHOUT_EFFECT_IN_TRAINER}
    counted["data"] = _with_effect(config.get("data"))
    for part, settings in LATER.items():
        given = counted.get(part, {}).get("init_args") or {}
        kept = {key: value for key, value in given.items() if key not in settings or value != settings[key]}
        counted[part] = {**counted.get(part, {}), "init_args": kept}

    def by_content(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: _canonical(item) if key == "class_path" else by_content(item) for key, item in value.items()}
        if isinstance(value, list):
            return [by_content(item) for item in value]
        return data.get(value, value) if isinstance(value, str) else value

    text = json.dumps(by_content(counted), sort_keys=True, ensure_ascii=False)
    return (
        "r" + hashlib.sha256(text.encode()).hexdigest()[:19]
    )  # a letter first: digits alone would be read as a number


def _with_effect(data: Mapping[str, Any] | None) -> dict[str, Any]:
    """The settings of the data without those that change no batch."""
    given = (data or {}).get("init_args") or {}
    kept = {key: value for key, value in given.items() if key not in WITHOUT_EFFECT_IN_DATA}
    return {**(data or {}), "init_args": kept}


def _canonical(path: str) -> str:
    """The one path of a class that a config names by any of its paths; the path itself where it names no class."""
    kind = locate(path)
    return class_path(kind) if isinstance(kind, type) else path


def data_checksums(config: Mapping[str, Any]) -> dict[str, str]:
    """Checksum of each file or folder that the settings of model, data and callbacks name by an absolute path."""

    def paths(value: Any) -> Iterator[str]:
        if isinstance(value, Mapping):
            for item in value.values():
                yield from paths(item)
        elif isinstance(value, list):
            for item in value:
                yield from paths(item)
        elif isinstance(value, str) and Path(value).is_absolute() and Path(value).exists():
            yield value

    counted = [_with_effect(config.get("data")), config.get("model"), (config.get("trainer") or {}).get("callbacks")]
    return {path: checksum(path) for path in sorted(set(paths(counted)))}


@cache
def checksum(path: str) -> str:
    """SHA-256 of a file, or of the names and contents of all files of a folder; computed once a process."""
    root = Path(path)
    digest = hashlib.sha256()
    for file in [root] if root.is_file() else sorted(file for file in root.rglob("*") if file.is_file()):
        with file.open("rb") as content:
            inside = hashlib.file_digest(content, "sha256").hexdigest()
        name = "" if file == root else file.relative_to(root).as_posix()
        digest.update(f"{name}\0{inside}\n".encode())
    return f"sha256:{digest.hexdigest()}"
