"""Your own corpus: CSV, TSV, JSON lines or Parquet."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import pyarrow
import torch
from torch import Tensor

from mlemo.data.base import SPLITS, EmotionDataModule, Split
from mlemo.data.checks import listing
from mlemo.data.columns import Columns
from mlemo.data.corpus import Corpus
from mlemo.data.io.arrow_cache import BLOCK, ArrowCache, content_key
from mlemo.data.io.tables import Table, csv_parts, json_lines_parts, most_rows, parquet_parts
from mlemo.data.kept import CODE, add_corpus, code_of, corpus_of
from mlemo.data.splits import stratified_split
from mlemo.labels import LabelSpace
from mlemo.utils.messages import shown

__all__ = ["TextFiles"]

PARTS: dict[str, Callable[[Path], Iterator[Table]]] = {
    ".csv": csv_parts,
    ".tsv": partial(csv_parts, delimiter="\t"),
    ".jsonl": json_lines_parts,
    ".parquet": parquet_parts,
}


class TextFiles(EmotionDataModule):
    """A corpus of one's own, in files whose suffix is the format: ``.csv``, ``.tsv``, ``.jsonl`` or ``.parquet``.

    Labels are either in one 0/1 column per label, named as in ``labels``, or all in ``label_column``: a list (JSON or
    Python notation in text files), or names joined by ``separator``. What an empty cell means is set by ``empty``:

    - ``"no"``: the label is absent, as 0; in ``label_column``, the empty label set.
    - ``"unknown"``: not annotated; the cell counts neither in training nor in a score.
    - ``None``: in a 0/1 column and for null (JSON lines, Parquet), not annotated; for an empty text in
      ``label_column``, the empty label set. A column with 1 and empty cells but no 0 is refused: read as not
      annotated it would leave the label without a negative, and any score of it perfect.

    CSV and TSV files have a header and CSV quoting. A validation or test split without a file of its own is taken from
    ``train``: stratified, seeded, equal texts on one side.

    Args:
        labels: Label names, in the order wanted.
        train: File with the training rows.
        val: File with the validation rows; ``None`` to split them off ``train``.
        test: File with the test rows; ``None`` to split them off ``train``.
        data_dir: Folder in which relative file names are looked up.
        text_column: Name of the column with the texts.
        label_column: Name of the column with the label sets; ``None`` for one column a label.
        id_column: Name of the column with the ids; ``None`` to number the rows of each file from 0.
        separator: Text between the names of a label set.
        val_fraction: Part of ``train`` that becomes the validation split, where that has no file.
        test_fraction: Part of ``train`` that becomes the test split, where that has no file.
        empty: What an empty cell means: ``"no"``, ``"unknown"`` or ``None``, see above. ``False`` is ``"no"``, since
            YAML reads an unquoted ``no`` so.
        **kwargs: Settings that all corpora share (``seed`` among them), see ``EmotionDataModule``.

    Raises:
        ValueError: Labels that are empty or repeated, an empty separator, or an unknown ``empty``.
    """

    def __init__(
        self,
        labels: list[str],
        train: str | Path,
        val: str | Path | None = None,
        test: str | Path | None = None,
        data_dir: str | Path | None = None,
        *,
        text_column: str = "text",
        label_column: str | None = None,
        id_column: str | None = None,
        separator: str = ", ",
        val_fraction: float = 0.1,
        test_fraction: float = 0.1,
        empty: Literal["no", "unknown", False] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_dir, **kwargs)
        if not separator:
            raise ValueError("data.separator is empty, expected the text between two label names")
        if empty not in ("no", "unknown", False, None):
            raise ValueError(f"data.empty must be no, unknown or null, found {empty!r}")
        self.empty = "no" if empty is False else empty
        self._space = LabelSpace(tuple(labels))
        self.files: dict[Split, str | Path | None] = {"train": train, "val": val, "test": test}
        self.fractions = {"val": val_fraction, "test": test_fraction}
        self.text_column, self.label_column, self.id_column = text_column, label_column, id_column
        self.separator = separator

    @property
    def label_space(self) -> LabelSpace:
        """The labels as given."""
        return self._space

    def read(self, split: Split) -> Corpus:
        """One split, from its file or split off the training file.

        Raises:
            FileNotFoundError: The file is missing.
            ValueError: The file has a fault; the message names it and its place.
        """
        file = self.files[split]
        if file is not None and split != "train":
            return self._read(file)
        return self._train_file if self._cut is None else self._train_file.select(self._cut[split])

    @cached_property
    def _train_file(self) -> Corpus:
        return self._read(self.files["train"])  # type: ignore[arg-type]  # the training file is never None

    @cached_property
    def _cut(self) -> dict[Split, Tensor] | None:
        """The rows of the training file that each split has; ``None`` where every split has a file."""
        cut = [split for split in SPLITS if split != "train" and self.files[split] is None]
        if not cut:
            return None
        corpus, off = self._train_file, [self.fractions[split] for split in cut]
        try:
            parts = stratified_split(corpus.labels, [1 - sum(off), *off], self.seed, groups=corpus.texts)
        except ValueError as error:
            raise ValueError(f"{self.files['train']}: {error}") from None
        return dict(zip(["train", *cut], map(torch.tensor, parts)))  # type: ignore[arg-type]  # mypy widens the list

    def _read(self, file: str | Path) -> Corpus:
        path = Path(file) if self.data_dir is None else self.data_dir / file
        if path.suffix.lower() not in PARTS:
            raise ValueError(f"{path}: unknown suffix {path.suffix!r}, expected one of {list(PARTS)}")
        if self.map_from is None or not path.is_file() or most_rows(path) < self.map_from:
            return Corpus.concatenate(list(self._parts(path)))
        key = self._key(path)

        def fill(columns: Columns) -> None:
            for part in self._parts(path):
                add_corpus(columns, part)

        return corpus_of(ArrowCache(self.cache_dir).get(key, fill), key, self._space)

    def _key(self, path: Path) -> str:
        """A name for everything that the rows of a file follow from."""
        settings = {
            "suffix": path.suffix.lower(),
            "labels": self._space.names,
            "columns": [self.text_column, self.label_column, self.id_column],
            "separator": self.separator,
            "empty": self.empty,
            "pyarrow": pyarrow.__version__,
        }
        own = Path(__file__)
        readers = (own, *(own.parent / "io" / f"{name}.py" for name in ("table", "tables", "compressed")))
        with path.open("rb") as file:
            return content_key(
                "file", json.dumps(settings), code_of(*CODE, *readers), iter(lambda: file.read(BLOCK), b"")
            )

    def _parts(self, path: Path) -> Iterator[Corpus]:
        """The rows of a file, some thousands at a time."""
        known: dict[str, int] = {}
        rows = 0
        ones, empty = torch.zeros(2, len(self._space), dtype=torch.long)
        for table in PARTS[path.suffix.lower()](path):
            texts = table.texts(self.text_column)
            if self.label_column is None:
                labels, mask = table.indicators(self._space.names, empty_is_unknown=True)
                ones, empty = ones + labels.sum(0).long(), empty + (~mask).sum(0)
            else:
                sets = [self._names(table, row, cell) for row, cell in enumerate(table.column(self.label_column))]
                labels = table.multi_hot([names or [] for names in sets], self._space)
                mask = torch.tensor([names is not None for names in sets])[:, None].expand(labels.shape).clone()
            if self.empty == "no":
                mask = torch.ones_like(mask)
            numbers = range(rows, rows := rows + len(table))
            ids = list(map(str, numbers)) if self.id_column is None else table.ids(self.id_column, known)
            yield Corpus(self._space, labels, ids, texts, mask=mask)
        if self.empty is None:
            self._refuse_ambiguous(path, ones, empty, rows)

    def _refuse_ambiguous(self, path: Path, ones: Tensor, empty: Tensor, rows: int) -> None:
        """Refuse columns with 1 and empty cells but no 0."""
        columns = ((ones > 0) & (empty > 0) & (ones + empty == rows)).nonzero().flatten().tolist()
        if columns:
            found = [f"{self._space.names[c]!r} ({ones[c]:,} of 1, none of 0, {empty[c]:,} empty)" for c in columns]
            raise ValueError(
                f"{path}: an empty cell can mean two things in the columns {listing(found)}. Set data.empty: "
                "`no` if it means that the label is absent (as 0), `unknown` if it means not annotated (the cell then "
                "counts nowhere, and these labels have no negative)"
            )

    def _names(self, table: Table, row: int, cell: Any) -> list[str] | None:
        """The label names in one cell; ``None`` where it is not annotated."""
        if cell is None or (cell == "" and self.empty == "unknown"):
            return None
        names = cell
        if isinstance(cell, str):
            names = _literal(cell) if cell.startswith("[") else [name for name in cell.split(self.separator) if cell]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(
                f"{table.where(row)}: column {self.label_column!r} holds {shown(cell)}, expected a list of label names "
                f"or names joined by {self.separator!r}"
            )
        return names


def _literal(cell: str) -> Any:
    """A list in JSON or Python notation, or ``None``."""
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(cell)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # as deep nesting and odd keys raise
            continue
    return None
