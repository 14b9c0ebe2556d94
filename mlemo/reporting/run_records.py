"""Results as data: one record per tested run, and a file of them with a published schema."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from math import isfinite
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from mlemo.nn.encoder_reference import public_name
from mlemo.runs.files import CONFIG, RECORD, RESULTS
from mlemo.runs.manifest import Manifest, read_manifest

__all__ = ["FORMAT", "SCHEMA", "check_records", "encoder_of", "read_records", "run_record"]

FORMAT = 1
SCHEMA = Path(__file__).with_name("result_schema.json")

#: Settings of a corpus that say where it is and how it is read, not what it is.
PLACES = ("data_dir", "cache_dir", "map_from", "num_workers", "eval_batch_size", "on_device")


def run_record(folder: Path, name: str = "", **more: Any) -> dict[str, Any]:
    """Describe a tested run: data, model, settings, scores with intervals, and versions, without paths of this machine.

    Args:
        folder: Folder of the run.
        name: Name of the run; by default its own.
        more: Further entries: ``study``, ``scale``, ``labels``.

    Raises:
        FileNotFoundError: The folder has no results of a test.
        ValueError: A file of the run cannot be read.
    """
    path = RESULTS.path(folder, "test")
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no {path.name}: it is not the folder of a tested run")
    results, manifest = _json(path), read_manifest(folder)
    recorded = _json(folder / RECORD.name) if (folder / RECORD.name).is_file() else {}
    config = recorded.get("config") or _config(folder, manifest)
    data, model = dict(config.get("data") or {}), dict(config.get("model") or {})
    settings = {key: value for key, value in (data.get("init_args") or {}).items() if key not in PLACES}
    trainer = config.get("trainer") or {}
    intervals = results.get("intervals", {})
    return {
        "name": name or (manifest.name if manifest is not None and manifest.name else folder.resolve().name),
        **more,
        "seed": recorded.get("seed", config.get("seed_everything")),
        "corpus": {
            "class": data.get("class_path", ""),
            "settings": _public(settings),
            "splits": {} if manifest is None else manifest.data.get("splits", {}),
        },
        "model": {
            "class": model.get("class_path", ""),
            "settings": _public(model.get("init_args") or {}),
            **({} if manifest is None else {k: v for k, v in manifest.model.items() if k != "class"}),
        },
        "training": {
            "max_epochs": trainer.get("max_epochs"),
            "state": None if manifest is None else manifest.state,
            "rows_per_step": recorded.get("global_batch"),
            "precision": None if trainer.get("precision") is None else str(trainer["precision"]),
            "selected_by": (config.get("checkpoint") or {}).get("monitor"),
        },
        "rule": str(results.get("rule", "")),
        "scores": {k: v for k, v in results.items() if isinstance(v, int | float) and isfinite(v)},
        "intervals": {key: [end if isfinite(end) else None for end in ends] for key, ends in intervals.items()},
        "versions": recorded.get("versions") or ({} if manifest is None else manifest.versions),
        "code": recorded.get("code"),
        "git": recorded.get("git") or (None if manifest is None else manifest.git),
        "hardware": _hardware(recorded.get("hardware") or {}),
        "finished": recorded.get("finished") or (None if manifest is None else manifest.ended),
    }  # fmt: skip


def encoder_of(record: Mapping[str, Any]) -> str:
    """Describe the encoder of a record's model in a few words; empty for a model without one."""
    encoder = record["model"].get("encoder")
    if encoder is None:
        settings = record["model"]["settings"]
        found = settings.get("encoder") or settings.get("features") or ""
        if isinstance(found, str):
            return found
        own = found.get("init_args") or {}
        named = next((own[name] for name in ("name", "base", "encoder") if isinstance(own.get(name), str)), "")
        return ", ".join(filter(None, [found.get("class_path", "").rpartition(".")[2], named]))
    size = f"{encoder['parameters'] / 1e6:.1f} M" if encoder.get("parameters") else ""
    shape = f"{encoder['layers']} × {encoder['width']}" if encoder.get("layers") else ""
    start = "" if encoder["pretrained"] or not encoder.get("parameters") else "random weights"
    return ", ".join(filter(None, [encoder["name"], shape, size, start]))


def read_records(path: Path) -> dict[str, Any]:
    """Read and check a file of records.

    Args:
        path: A JSON file with ``format``, ``runs`` and ``claims``.

    Raises:
        OSError: The file cannot be read.
        ValueError: It does not agree with the schema; the message names the entry.
    """
    content = _json(path)
    check_records(content, str(path))
    return content


def check_records(content: Any, where: str) -> None:
    """Check the content of a file of records against the schema ``mlemo/reporting/result_schema.json``.

    Raises:
        ValueError: It does not agree with it; the message begins with ``where``.
    """
    if isinstance(content, dict) and isinstance(content.get("format"), int) and content["format"] > FORMAT:
        raise ValueError(f"{where}: format {content['format']} is of a later version of mlemo; expected {FORMAT}")
    wrong = min(_validator().iter_errors(content), key=lambda error: list(map(str, error.absolute_path)), default=None)
    if wrong is not None:
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in wrong.absolute_path)
        raise ValueError(f"{where}: {place.lstrip('.') or 'the file'}: {wrong.message[:300]}")


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


def _public(value: Any) -> Any:
    """Replace paths of this machine by the last part, of the folder of an encoder by the encoder's name."""
    if isinstance(value, Mapping):
        return {key: _public(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_public(one) for one in value]
    if isinstance(value, str) and (PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()):
        # "/" alone, a separator of labels for example, has no last part
        return (public_name(value) if Path(value).is_dir() else PureWindowsPath(value).name) or value
    return value


def _hardware(found: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what an outcome may depend on; the name of the machine is private."""
    return {key: found[key] for key in ("processor", "cores", "threads", "gpu") if key in found}


def _config(folder: Path, manifest: Manifest | None) -> dict[str, Any]:
    if manifest is not None and not CONFIG.path(folder).is_file():  # an ensemble has no settings of a training
        data = {"class_path": manifest.data.get("class"), "init_args": manifest.data.get("settings")}
        return {"data": data, "model": {"class_path": manifest.model.get("class")}}
    try:
        content = yaml.safe_load(CONFIG.path(folder).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{CONFIG.path(folder)} is not valid YAML: {error}") from error
    return content if isinstance(content, dict) else {}


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected an object, found {type(content).__name__}")
    return content
