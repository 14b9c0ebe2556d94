"""GoEmotions: English Reddit comments with 27 emotions and neutral."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mlemo.data.base import EmotionDataModule, Split
from mlemo.data.checks import count_warnings
from mlemo.data.corpus import Corpus
from mlemo.data.io.fetch import find_file, hub_table
from mlemo.data.io.tables import Table, nearest, read_csv, read_text
from mlemo.labels import LabelSpace
from mlemo.utils.messages import shown

__all__ = ["GoEmotions"]

# fmt: off
LABELS = (
    "admiration", "amusement", "anger", "annoyance", "approval", "caring", "confusion", "curiosity", "desire",
    "disappointment", "disapproval", "disgust", "embarrassment", "excitement", "fear", "gratitude", "grief", "joy",
    "love", "nervousness", "optimism", "pride", "realization", "relief", "remorse", "sadness", "surprise", "neutral",
)
# fmt: on
ROWS = {"train": 43_410, "val": 5_426, "test": 5_427}
FILES = {"train": "train.tsv", "val": "dev.tsv", "test": "test.tsv"}
HUB_SPLITS = {"train": "train", "val": "validation", "test": "test"}
HOW_TO_GET = (
    "GoEmotions needs train.tsv, dev.tsv and test.tsv (and, if you like, emotions.txt) in one folder, given as "
    "data_dir; they lie in github.com/google-research/google-research, folder goemotions/data"
)


class GoEmotions(EmotionDataModule):
    """GoEmotions, simplified: 43,410 / 5,426 / 5,427 comments, 28 labels, never an empty label set.

    Texts are kept as published, blanks at the ends and the tokens ``[NAME]`` and ``[RELIGION]`` included. Texts that
    occur twice, within a split or across splits, are kept too: scores refer to the official splits.

    Args:
        data_dir: Folder with ``train.tsv``, ``dev.tsv`` and ``test.tsv``; where ``emotions.txt`` lies beside them,
            its labels are checked. ``None`` to fetch the data set from the hub.
        hub: Name on the hub, or a local folder in the hub's layout (``simplified/train-*.parquet`` and so on).
        **kwargs: Settings that all corpora share, see ``EmotionDataModule``.

    Reference:
        Demszky et al., *GoEmotions: A Dataset of Fine-Grained Emotions*, ACL 2020. CC BY 4.0.

    Example:
        >>> GoEmotions().label_space.names[-2:]
        ('surprise', 'neutral')
    """

    def __init__(
        self,
        data_dir: str | Path | None = None,
        hub: str = "google-research-datasets/go_emotions",
        **kwargs: Any,
    ) -> None:
        super().__init__(data_dir, **kwargs)
        self.hub = hub

    @property
    def label_space(self) -> LabelSpace:
        """The 28 labels in official order."""
        return LabelSpace(LABELS)

    def read(self, split: Split) -> Corpus:
        """One official split.

        Raises:
            FileNotFoundError: A file is missing or the hub is out of reach; the message describes how to get the files.
            ValueError: A file is not as released; the message has the place.
        """
        if self.data_dir is None:
            table = hub_table(self.hub, "simplified", HUB_SPLITS[split], HOW_TO_GET)
            sets = table.column("labels")
        else:
            path = find_file(self.data_dir, [FILES[split]], HOW_TO_GET)
            _check_names(path.parent / "emotions.txt")
            table = read_csv(path, delimiter="\t", columns=("text", "labels", "id"))
            sets = [cell.split(",") for cell in table.column("labels")]
        corpus = _corpus(table, sets, self.label_space)
        corpus.warnings = count_warnings(len(corpus), ROWS[split], f"rows of the {split} split", table.source)
        return corpus


def _corpus(table: Table, sets: list[Any], space: LabelSpace) -> Corpus:
    known = {key: number for number in range(len(space)) for key in (number, str(number))}
    rows: list[int] = []
    columns: list[int] = []
    for row, numbers in enumerate(sets):
        for number in numbers or [""]:
            if number not in known:
                cell = table.column("labels")[row]
                raise ValueError(
                    f"{table.where(row)}: label ids {shown(cell)}, expected numbers from 0 to {len(space) - 1}, "
                    "one at least"
                )
            rows.append(row)
            columns.append(known[number])
    labels = torch.zeros(len(table), len(space))
    labels[rows, columns] = 1.0
    return Corpus(space, labels, table.ids("id"), table.texts("text"))


def _check_names(path: Path) -> None:
    if not path.is_file():
        return
    names = read_text(path).split()
    if len(names) != len(LABELS):
        raise ValueError(f"{path}: found {len(names)} labels, expected {len(LABELS)}")
    for line, (found, expected) in enumerate(zip(names, LABELS), start=1):
        if found != expected:
            raise ValueError(
                f"{path}:{line}: found label {shown(found)}, expected {expected!r}{nearest(found, LABELS)}"
            )
