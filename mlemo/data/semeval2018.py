"""SemEval-2018 Task 1, subtask E-c: tweets with eleven emotions, in three languages."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any, Literal

from mlemo.data.base import EmotionDataModule, Split
from mlemo.data.checks import count_warnings
from mlemo.data.corpus import Corpus
from mlemo.data.io.fetch import find_file
from mlemo.data.io.tables import read_csv
from mlemo.data.label_words import label_words
from mlemo.labels import LabelSpace
from mlemo.utils.messages import shown

__all__ = ["SemEval2018"]

# fmt: off
LABELS = (
    "anger", "anticipation", "disgust", "fear", "joy", "love", "optimism", "pessimism", "sadness", "surprise", "trust",
)
# fmt: on
ROWS = {
    "english": {"train": 6_838, "val": 886, "test": 3_259},
    "arabic": {"train": 2_278, "val": 585, "test": 1_518},
    "spanish": {"train": 3_561, "val": 679, "test": 2_854},
}
HEADER = ["ID", "Tweet", *LABELS]
CODES = {"english": "En", "arabic": "Ar", "spanish": "Es"}
PARTS = {"train": "train", "val": "dev", "test": "test-gold"}


class SemEval2018(EmotionDataModule):
    r"""SemEval-2018 E-c: English 6,838 / 886 / 3,259 and Arabic 2,278 / 585 / 1,518 tweets, or Spanish; 11 labels.

    An empty label set is valid: it means *neutral or no emotion*. The two characters ``\n`` in a tweet stand for a line
    break and become one blank, so that a text is one line everywhere; a U+FEFF before a text is removed; everything
    else, blanks at the ends included, is kept.

    Args:
        language: Which of the three languages.
        data_dir: Folder with ``2018-E-c-<En|Ar|Es>-<train|dev|test-gold>.txt``, or the unpacked official archive,
            which has them in ``English/E-c`` and so on. The data may not be passed on, so they cannot be fetched.
        unescape: Turn HTML entities (``&amp;``) into the characters they stand for.
        **kwargs: Settings that all corpora share, see ``EmotionDataModule``.

    Raises:
        ValueError: An unknown language.

    Reference:
        Mohammad, Bravo-Marquez, Salameh, Kiritchenko, *SemEval-2018 Task 1: Affect in Tweets*, SemEval 2018.

    Example:
        >>> len(SemEval2018("arabic").label_space)
        11
    """

    def __init__(
        self,
        language: Literal["english", "arabic", "spanish"] = "english",
        data_dir: str | Path | None = None,
        *,
        unescape: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_dir, **kwargs)
        if language not in CODES:
            raise ValueError(f"data.language must be one of {list(CODES)}, found {language!r}")
        self.language = language
        self.unescape = unescape

    @property
    def label_space(self) -> LabelSpace:
        """The eleven labels in official order."""
        return LabelSpace(LABELS, words=label_words(self.language, LABELS))

    def read(self, split: Split) -> Corpus:
        """One official split.

        Raises:
            FileNotFoundError: The file is missing; the message describes how to get it.
            ValueError: The file is not as released, or has no labels (``NONE``); the message has the place.
        """
        name = f"2018-E-c-{CODES[self.language]}-{PARTS[split]}.txt"
        folder = f"{self.language.capitalize()}/E-c"
        how_to_get = (
            f"The data of SemEval-2018 Task 1 may not be passed on: get them from "
            f"competitions.codalab.org/competitions/17751 and give the folder with {name} as data_dir"
        )
        path = find_file(self.data_dir, [name, f"{folder}/{name}"], how_to_get)
        table = read_csv(path, delimiter="\t", quoted=False)
        if list(table.columns) != HEADER:
            raise ValueError(f"{path}:1: found the header {shown(list(table.columns))}, expected {HEADER}")
        if "NONE" in table.column(LABELS[0]):
            row = table.column(LABELS[0]).index("NONE")
            raise ValueError(
                f"{table.where(row)}: 'NONE' in place of 0 or 1: this is an unlabelled file of the competition; "
                f"expected {name} with its labels"
            )
        labels, _ = table.indicators(LABELS)
        texts = [self._clean(text) for text in table.texts("Tweet")]
        warnings = count_warnings(len(table), ROWS[self.language][split], f"rows of the {split} split", path)
        return Corpus(self.label_space, labels, table.ids("ID"), texts, warnings=warnings)

    def _clean(self, text: str) -> str:
        text = text.lstrip("\ufeff").replace("\\n", " ")
        return html.unescape(text) if self.unescape else text
