"""Provenance of the runs of a report: commits, versions, hardware, time and memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from mlemo.reporting.document import Block, Heading, Paragraph, Table
from mlemo.reporting.results import Results, trained

__all__ = ["code_versions", "provenance"]


def code_versions(results: Results) -> Iterator[Block]:
    """Create a warning for a report whose runs were made by different code."""
    records = {run.record["address"]: run.record for run in results.runs if run.record is not None}.values()
    # a commit without changes of code is not another version
    counts = Counter(record.get("code") or f"commit {_commit(record.get('git'))}" for record in records)
    if len(counts) > 1:
        versions = "; ".join(f"{_short(name)}: {count}" for name, count in counts.most_common())
        yield Paragraph(
            f"WARNING: the {len(records)} runs were made by {len(counts)} versions of the code, and may differ for "
            f"that reason. Runs of each version: {versions}. `mlemo reproduce` with another --folder makes all of them "
            "anew."
        )


def provenance(results: Results) -> Iterator[Block]:
    """Create a table of machine and software from the records; all different values with their number of runs."""
    records = list({run.record["address"]: run.record for run in results.runs if run.record is not None}.values())
    seconds = [record["seconds"] for record in records]
    resumed = sum(bool(record.get("resumed")) for record in records)
    dates = sorted(record.get("finished", "") for record in records)
    memory = [record.get("peak_memory") or 0 for record in records]
    gpu_memory = [record.get("peak_gpu_memory") or 0 for record in records]
    since = f"; {resumed} were resumed, and count from there" if resumed else ""
    of_gpu = f"; of the GPU up to {max(gpu_memory) / 2**20:,.0f} MiB" if any(gpu_memory) else ""
    rows = [
        ("scale", results.scale),
        *(("with " + name, _counted(values)) for name, values in _values(results).items()),
        ("different runs", str(len(records))),
        ("code", _counted(_short(record.get("code") or "not recorded") for record in records)),
        ("commit", _counted(_commit(record.get("git")) for record in records)),
        ("precision", _counted(_precision(record) for record in records)),
        ("rows per step", _counted(_rows_per_step(record) for record in records)),
        ("hardware", _counted(_hardware(record.get("hardware") or {}) for record in records)),
        ("seconds per run", f"{min(seconds):,.0f} to {max(seconds):,.0f}, {sum(seconds):,.0f} in all{since}"),
        ("peak memory", f"up to {max(memory) / 2**20:,.0f} MiB{of_gpu}"),
        ("finished", " to ".join(dict.fromkeys([dates[0], dates[-1]])) or "not recorded"),
        ("data", _data(records)),
    ]  # fmt: skip
    names = dict.fromkeys(name for record in records for name in record.get("versions") or {})
    rows += [
        (name, _counted((record.get("versions") or {}).get(name) or "none" for record in records)) for name in names
    ]
    yield Heading("How the runs were made")
    yield Table("From the records of the finished runs", ("what", "value"), tuple(rows), 2)


def _precision(record: dict[str, Any]) -> str:
    of_config = record.get("config", {}).get("trainer", {}).get("precision")
    return str(record.get("precision") or of_config or "not recorded")


def _rows_per_step(record: dict[str, Any]) -> str:
    processes = record.get("world_size") or 1
    return str(record.get("global_batch") or "not recorded") + (f" in {processes} processes" if processes > 1 else "")


def _values(results: Results) -> dict[str, list[str]]:
    """Collect the values of settings that the study leaves open; a file or folder by its checksum."""
    shown = [run for combination in trained(results.combinations) for run in combination.runs]
    names = dict.fromkeys(name for run in shown for name in run.values)
    return {name: [_short(run.values[name]) for run in shown if name in run.values] for name in names}


def _counted(values: Iterable[str]) -> str:
    """List the different values, with the number of runs of each if there are several."""
    counts: dict[str, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    if len(counts) == 1:
        return next(iter(counts))
    return "; ".join(f"{value} ({count} runs)" for value, count in counts.items())


def _commit(state: dict[str, Any] | None) -> str:
    if not state:
        return "not known"
    return f"{state['commit'][:12]}{' with changed files' if state.get('changed') else ''}"


def _hardware(found: dict[str, Any]) -> str:
    parts = [found.get("gpu"), found.get("processor"), f"{found.get('threads')} threads of {found.get('cores')} cores",
             found.get("platform")]  # fmt: skip
    return ", ".join(str(part) for part in parts if part)


def _data(records: Iterable[dict[str, Any]]) -> str:
    """List the checksums of inputs: of files and folders by the last part of their path, of fetched ones by name."""
    sums = {
        (path.rstrip("/").rsplit("/", 1)[-1] if path.startswith("/") else path, value)
        for record in records
        for path, value in record.get("data", {}).items()
    }
    short = sorted(f"{name} {_short(value)}" for name, value in sums)
    return "; ".join(short) or "made by the runs themselves"


def _short(value: str) -> str:
    return value[: len("sha256:") + 12] if value.startswith("sha256:") else value
