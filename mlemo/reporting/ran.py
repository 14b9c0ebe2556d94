"""What ran: model, encoder, rows, epochs, seeds, precision and commit of the runs of a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlemo.reporting.document import Block, Bullets, Heading, Table
from mlemo.reporting.results import Combination, Results, trained
from mlemo.reporting.run_records import encoder_of, run_record
from mlemo.reporting.sections import seeds

__all__ = ["what_ran"]


def what_ran(results: Results) -> Iterator[Block]:
    """Show what differs between the combinations as a table, and what all have in common as a list."""
    rows = [(own, _facts(own)) for own in trained(results.combinations)]
    names = list(dict.fromkeys(name for _, facts in rows for name in facts))
    common = {name: values.pop() for name in names if len(values := {facts.get(name, "–") for _, facts in rows}) == 1}
    yield Heading("What ran")
    yield Bullets(tuple(f"{name}: {value}" for name, value in common.items() if value != "–"))
    different = [name for name in names if name not in common]
    if different:
        settings = list(results.study.varies)
        table = tuple(
            (*(label for _, label in own.labels[: len(settings)]), *(facts.get(name, "–") for name in different))
            for own, facts in rows
        )
        head = (*settings, *different)
        yield Table(f"What ran, by {', '.join(settings)}, scale {results.scale}", head, table, len(head))


def _facts(combination: Combination) -> dict[str, str]:
    """Describe the runs of a combination; values that differ between its seeds are joined."""
    found: dict[str, dict[str, None]] = {}
    for run in combination.runs:
        try:
            record = run_record(run.folder)
        except (OSError, ValueError):  # a missing file is reported where its numbers are needed
            continue
        for name, value in _of_run(record).items():
            if value:
                found.setdefault(name, {})[value] = None
    return {**{name: " / ".join(values) for name, values in found.items()}, "seeds": seeds(combination)}


def _of_run(record: Mapping[str, Any]) -> dict[str, str]:
    model, training = record["model"], record["training"]
    rows = record["corpus"]["splits"]
    state = training["state"] if training["state"] not in ("finished", None) else ""
    size = f"{model['parameters'] / 1e6:.1f} M, {model['trained'] / 1e6:.1f} M trained" if "parameters" in model else ""
    return {
        "model": model["class"].rpartition(".")[2],
        "encoder": encoder_of(record),
        "parameters": size,
        "rows in train, val, test": ", ".join(f"{split['rows']:,}" for split in rows.values()),
        "epochs": ", ".join(filter(None, [str(training["max_epochs"] or ""), state])),
        "rows per step": str(training["rows_per_step"] or ""),
        "precision": training["precision"] or "",
        "commit": (record["git"] or {}).get("commit", "")[:12],
    }
