"""ExaAEC: Arabic tweets with nine emotions and neutral."""

from __future__ import annotations

import ast
import re
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from mlemo.data.base import SPLITS, EmotionDataModule, Split
from mlemo.data.checks import count_warnings
from mlemo.data.corpus import Corpus
from mlemo.data.io.fetch import download, find_file
from mlemo.data.io.tables import read_csv
from mlemo.data.label_words import label_words
from mlemo.data.splits import stratified_split
from mlemo.labels import LabelSpace
from mlemo.utils.messages import shown

__all__ = ["ExaAEC"]

# fmt: off
LABELS = (
    "neutral", "joy", "love", "anticipation", "acceptance", "surprise", "sadness", "fear", "anger", "disgust",
)
# fmt: on
ROWS = 20_050
FRACTIONS = (0.8, 0.1, 0.1)
URL = "https://raw.githubusercontent.com/exaco/exaaec/020fc2818303bf7c82711009e8b8e2320c645d8c/ExaAEC.csv"
SHA256 = "173df6aa9cb7ba126d3aa67ef2e65ec1c7fcab406fcfc811014c7954c627b95d"
HOW_TO_GET = "ExaAEC.csv lies in github.com/exaco/exaaec; give the folder that you put it into as data_dir"


class ExaAEC(EmotionDataModule):
    """ExaAEC: 20,050 tweets with one or two of ten labels; neutral is always alone.

    There is no official split: a stratified one, 80 / 10 / 10, is made with ``seed``, and equal texts stay on one side
    of it. State the seed with the scores.

    Args:
        data_dir: Folder with ``ExaAEC.csv``; ``None`` to fetch it once from the authors' repository.
        drop_spreadsheet_errors: Leave out the rows whose text is a spreadsheet error such as ``Err:508`` (three of
            20,050). The split is made before, so it is the same either way.
        **kwargs: Settings that all corpora share (``seed`` among them), see ``EmotionDataModule``.

    Reference:
        Sarbazi-Azad, Akbari, Khazeni, *ExaAEC: A New Multi-label Emotion Classification Corpus in Arabic Tweets*,
        ICCKE 2021. Apache License 2.0.

    Example:
        >>> ExaAEC().label_space.names[0]
        'neutral'
    """

    def __init__(
        self, data_dir: str | Path | None = None, *, drop_spreadsheet_errors: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(data_dir, **kwargs)
        self.drop_spreadsheet_errors = drop_spreadsheet_errors

    @property
    def label_space(self) -> LabelSpace:
        """The ten labels in the authors' order."""
        return LabelSpace(LABELS, words=label_words("arabic", LABELS))

    def read(self, split: Split) -> Corpus:
        """One part of the seeded split; ids are row numbers in the file, from 0.

        Raises:
            FileNotFoundError: The file is missing or out of reach; the message describes how to get it.
            ValueError: The file is not as released; the message has the place.
        """
        corpus = self._parts[split]
        if self.drop_spreadsheet_errors:
            texts = corpus.texts or []
            kept = [row for row, text in enumerate(texts) if not re.fullmatch(r"Err:\d+", text.strip())]
            dropped = len(corpus) - len(kept)
            if dropped:
                corpus = corpus.select(kept)
                corpus.dropped = {"text is a spreadsheet error": dropped}
        return corpus

    @cached_property
    def _parts(self) -> dict[Split, Corpus]:
        if self.data_dir is None:
            path = download(URL, SHA256, HOW_TO_GET)
        else:
            path = find_file(self.data_dir, ["ExaAEC.csv"], HOW_TO_GET)
        table = read_csv(path)
        texts = table.texts("text")
        sets = []
        for row, cell in enumerate(table.texts("label")):
            names = _names(cell)
            if not names:
                raise ValueError(f"{table.where(row)}: label {shown(cell)}, expected a list such as ['joy', 'love']")
            sets.append(names)
        labels = table.multi_hot(sets, self.label_space)
        ids, warnings = [str(row) for row in range(len(table))], count_warnings(len(table), ROWS, "rows", path)
        corpus = Corpus(self.label_space, labels, ids, texts, warnings=warnings)
        try:
            parts = stratified_split(labels, FRACTIONS, self.seed, groups=texts)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        return dict(zip(SPLITS, map(corpus.select, parts)))


@cache  # a few dozen different cells
def _names(cell: str) -> tuple[str, ...] | None:
    """The names in a printed Python list, or ``None`` where the cell is no list of strings."""
    try:
        names = ast.literal_eval(cell)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # as deep nesting and odd keys raise
        return None
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else None
