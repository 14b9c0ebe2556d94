"""The record of a run: what is needed to trust its result later."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from mlemo.callbacks.cost import peak_memory
from mlemo.experiments.runs import StudyRun
from mlemo.runs import files as run_files
from mlemo.runs.surroundings import versions
from mlemo.utils.fetched import fetched
from mlemo.utils.hardware import world_size

__all__ = ["FAILURE", "RECORD", "Code", "make_record", "read_failure", "read_record"]

RECORD = run_files.RECORD.name
FAILURE = run_files.FAILURE.name  # why the run failed when it was last tried; a run has this or a record
PACKAGES = ("mlemo", "torch", "lightning", "transformers", "tokenizers", "torchmetrics", "torch-geometric",
            "scikit-learn", "numpy", "pandas")  # fmt: skip


@dataclass(frozen=True)
class Code:
    """The code that made a result.

    Args:
        checksum: Of the Python files of mlemo, from :func:`mlemo.runs.surroundings.code_checksum`.
        git: State of the working copy, from :func:`mlemo.runs.surroundings.git_state`.
    """

    checksum: str
    git: dict[str, Any] | None = None


def make_record(run: StudyRun, folder: Path, seconds: float, resumed: bool, code: Code) -> dict[str, Any]:
    """The record of a run that this process, which had no other, has just finished.

    Args:
        run: The run.
        folder: Its folder, with the result files.
        seconds: How long this process took for it.
        resumed: Whether it went on from a checkpoint, so that ``seconds`` are not all of it.
        code: The code, as this process imported it.

    Returns:
        Values that JSON can hold; peak memory in bytes.
    """
    results = {
        split: json.loads((folder / f"results_{split}.json").read_text(encoding="utf-8")) for split in ("val", "test")
    }
    files = sorted(
        file.relative_to(folder).as_posix()
        for file in folder.rglob("*")
        if file.is_file() and not file.name.startswith((RECORD, "events.out"))
    )
    cost = folder / "cost.json"
    processes = world_size(run.config)
    return {
        "address": run.address,
        "seed": run.seed,
        "words": list(run.words),
        "config": run.config,
        "data": {**run.data, **fetched()},
        "results": results,
        "files": files,
        "seconds": round(seconds, 3),
        "resumed": resumed,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "cost": json.loads(cost.read_text(encoding="utf-8")) if cost.is_file() else {},
        "peak_memory": peak_memory(torch.device("cpu")),
        "peak_gpu_memory": torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else None,
        "hardware": {
            "machine": platform.node(),
            "platform": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        "world_size": processes,
        "global_batch": _global_batch(run.config, processes),
        "precision": run.config["trainer"].get("precision"),
        "versions": versions(PACKAGES),
        "code": code.checksum,
        "git": code.git,
    }


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record in a run's folder; ``None`` where the run is not finished.

    Raises:
        ValueError: The file is not a record.
    """
    path = folder / RECORD
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not a record: {error}; delete it to run this run again") from error
    if not isinstance(record, Mapping) or not {"address", "results", "seconds"} <= record.keys():
        raise ValueError(f"{path} is not a record; delete it to run this run again")
    return dict(record)


def read_failure(folder: Path) -> str | None:
    """Why a run failed when it was last tried; ``None`` where it did not."""
    path = folder / FAILURE
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _global_batch(config: Mapping[str, Any], processes: int) -> int | None:
    """Rows per optimizer step; ``None`` where the config does not say."""
    data = config.get("data", {}).get("init_args") or {}
    if data.get("global_batch_size") is not None:
        return int(data["global_batch_size"])
    accumulated = config["trainer"].get("accumulate_grad_batches", 1)
    return data["batch_size"] * accumulated * processes if "batch_size" in data else None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
