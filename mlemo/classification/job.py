"""Classification of a file part by part: after a kill it continues, and its shards can be classified apart."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pyarrow import parquet
from tqdm import tqdm

from mlemo.classification.formats import Output, output_of
from mlemo.classification.results import Probabilities, ResultColumns, results_of
from mlemo.classification.source import Source, chunks
from mlemo.classification.summary import Summary
from mlemo.inference import Classifier
from mlemo.runs.atomic import write_atomically
from mlemo.runs.manifest import sha256
from mlemo.utils.messages import shown

__all__ = ["Job", "rows_per_part"]

JOB, LOCK = "job.json", "lock"


class Job:
    """The classification of a file into another one.

    The rows are classified in parts, each of which becomes a file in the folder ``OUTPUT.parts``, whole or not at all.
    The output is made of them at the end, and the folder removed. Where a folder of the same job is there, its parts
    are not classified again. The bounds of the parts follow from the number of rows alone, so that the results of a row
    do not depend on interruptions and shards.

    Args:
        classifier: The classifier.
        source: The input.
        output: The file to write, with the suffix of its format.
        probabilities: Of which labels probabilities are written.
        separator: Text between the labels in a text table.
        shard: ``(i, n)``: the i-th of n shards, from 1, whose outputs in order have the rows of the whole.
        settings: What else the results follow from, such as the checksum of the checkpoint, as plain values.
        overwrite: Replace an output that is there, and parts of another job.

    Raises:
        ValueError: The output is the input, its suffix names no format, or a label contains the separator.
    """

    def __init__(
        self,
        classifier: Classifier,
        source: Source,
        output: Path,
        *,
        probabilities: Probabilities = "all",
        separator: str = ", ",
        shard: tuple[int, int] = (1, 1),
        settings: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ) -> None:
        if source.path is None:
            raise ValueError("the standard input can be read once only, and a job reads its input twice")
        if output.exists() and output.samefile(source.path):
            raise ValueError(f"--output {output} is the input")
        for label in classifier.labels:
            if separator.strip() in label:
                raise ValueError(f"the label {label!r} contains the separator {separator!r}; choose another one")
        self.classifier, self.source, self.output, self.path = classifier, source, output, source.path
        self.probabilities, self.separator, self.shard, self.overwrite = probabilities, separator, shard, overwrite
        self.folder = output.with_name(f"{output.name}.parts")
        self.description = {
            "input": sha256(source.path),
            "text columns": list(source.text_columns),
            "format": [source.format, source.delimiter, source.encoding, source.quoted],
            "probabilities": probabilities,
            "separator": separator,
            "shard": list(shard),
            **(settings or {}),
        }
        self._format([])  # an unknown suffix is reported at once

    def run(self) -> Summary:
        """Classify what is left, and write the output.

        Raises:
            FileExistsError: The output is there, or parts of another job, and they are not to be overwritten.
            ValueError: The input cannot be read, or another process is at work on the same output.
        """
        self._check_place()
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.folder / LOCK, timeout=0):
                summary = self._run()
        except Timeout:
            raise ValueError(f"another process is writing {self.output}") from None
        for path in self.folder.iterdir():
            if path.name != JOB:  # the last one, so that a kill in between is made up for by the same command
                path.unlink()
        (self.folder / JOB).unlink()
        self.folder.rmdir()
        return summary

    def _check_place(self) -> None:
        """Refuse to replace an output or parts that are not of this job."""
        job = self.folder / JOB
        if job.is_file():
            there = json.loads(job.read_text(encoding="utf-8"))
            differ = sorted(key for key in {*there, *self.description} if there.get(key) != self.description.get(key))
            if not differ:
                return
            if not self.overwrite:
                found = "; ".join(
                    f"{key} was {shown(there.get(key))}, is {shown(self.description.get(key))}" for key in differ
                )
                raise FileExistsError(
                    f"{self.folder} holds parts of another job ({found}): continue that with its own command, or start "
                    "over with --overwrite"
                )
            for path in self.folder.iterdir():
                path.unlink()
        if self.output.exists() and not self.overwrite:
            raise FileExistsError(f"{self.output} is there; --overwrite replaces it")

    def _run(self) -> Summary:
        write_atomically(self.folder / JOB, json.dumps(self.description))
        rows, columns = self._survey()
        size = rows_per_part(rows)
        output, (shard, shards) = self._format(columns), self.shard
        parts = math.ceil(rows / size)
        mine = range(parts * (shard - 1) // shards, parts * shard // shards)
        files = {part: self.folder / f"{part:08d}" for part in mine}
        done = {part for part, file in files.items() if file.is_file()}
        in_shard = min(rows, mine.stop * size) - min(rows, mine.start * size)
        bar = _progress(in_shard, sum(min(size, rows - part * size) for part in done))
        summary = Summary()
        for part, chunk in enumerate(chunks(self.source, size)):
            if part not in files:
                continue
            texts = [self.source.text_of(row) for row in chunk]
            summary.add((problem for _, problem in texts), part * size + 1)
            if part not in done:
                results = results_of(self.classifier, texts, self.probabilities)
                write_atomically(files[part], output.encode(chunk, results))
                bar.update(len(chunk))
        bar.close()
        joined = self.folder / "joined"
        with joined.open("wb") as file:
            output.join(list(files.values()), file)
        joined.replace(self.output)
        return summary

    def _survey(self) -> tuple[int, list[str]]:
        """Count the rows, and collect the columns, which JSON lines may have some of in some rows only."""
        columns = dict.fromkeys(self.source.columns)
        rows = 0
        for row in self.source:
            rows += 1
            columns |= dict.fromkeys(row.cells)
        return rows, list(columns)

    def _format(self, columns: list[str]) -> Output:
        schema = parquet.read_schema(self.path).remove_metadata() if self.source.format == "parquet" else None
        results = ResultColumns.beside(columns, self.classifier.labels)
        alike = self.source.format == "table" and self.output.suffix.lower() == self.path.suffix.lower()
        return output_of(
            self.output,
            columns,
            results,
            self.probabilities,
            schema=schema,
            separator=self.separator,
            delimiter=self.source.delimiter if alike else None,
        )


def rows_per_part(rows: int) -> int:
    """The number of rows in a part: 1,024, or less where that would be less than 16 parts.

    Example:
        >>> [rows_per_part(rows) for rows in (10, 5000, 1_000_000)]
        [16, 313, 1024]
    """
    return min(1024, max(16, math.ceil(rows / 16)))


def _progress(rows: int, done: int) -> tqdm:
    """A bar with the time left; where the standard error is no terminal, it is written every half minute."""
    seconds = 0.5 if sys.stderr.isatty() else 30.0
    return tqdm(total=rows, initial=done, unit="row", mininterval=seconds, maxinterval=max(seconds, 10.0))
