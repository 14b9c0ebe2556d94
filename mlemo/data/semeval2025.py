"""SemEval-2025 Task 11, track A (BRIGHTER and EthioEmo): short texts with six emotions, in 32 languages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mlemo.data.base import SPLITS, EmotionDataModule, Split
from mlemo.data.checks import count_warnings
from mlemo.data.corpus import Corpus
from mlemo.data.io.fetch import find_file, hub_table
from mlemo.data.io.tables import Table, nearest, read_csv
from mlemo.data.label_words import label_words
from mlemo.labels import LabelSpace
from mlemo.utils.messages import shown

__all__ = ["SemEval2025"]

EMOTIONS = ("anger", "disgust", "fear", "joy", "sadness", "surprise")
# fmt: off
LANGUAGES = (
    "afr", "amh", "arq", "ary", "chn", "deu", "eng", "esp", "hau", "hin", "ibo", "ind", "jav", "kin", "mar", "orm",
    "pcm", "ptbr", "ptmz", "ron", "rus", "som", "sun", "swa", "swe", "tat", "tir", "ukr", "vmw", "xho", "yor", "zul",
)
# fmt: on
PROMPT_LANGUAGES = {"arq": "arabic", "ary": "arabic", "chn": "chinese", "esp": "spanish"}
# fmt: off
ROWS = {  # of train, dev and test; the others are not known
    "afr": (1_222, 98, 1_065), "amh": (3_549, 592, 1_774), "arq": (901, 100, 902), "chn": (2_642, 200, 2_642),
    "deu": (2_603, 200, 2_604), "eng": (2_768, 116, 2_767), "hau": (2_145, 356, 1_080), "ibo": (2_880, 479, 1_444),
    "mar": (2_415, 100, 1_000), "pcm": (3_728, 620, 1_870), "ptbr": (2_226, 200, 2_226), "ptmz": (1_546, 257, 776),
    "ron": (1_241, 123, 1_119), "rus": (2_679, 199, 1_000), "som": (3_392, 566, 1_696), "sun": (924, 199, 926),
    "swa": (3_307, 551, 1_656), "tat": (1_000, 200, 1_000), "ukr": (2_466, 249, 2_234), "yor": (2_992, 497, 1_500),
}
# fmt: on
NOT_ANNOTATED = {"eng": "disgust", "afr": "surprise"}
NOT_ON_HUB = ("amh", "orm", "som", "tir")  # EthioEmo, not BRIGHTER
NO_TRAINING_PART = ("ind", "jav", "xho", "zul")
PARTS = {"train": "train", "val": "dev", "test": "test"}
HOW_TO_GET = (
    "The files <train|dev|test>/<language>.csv of SemEval-2025 Task 11, track A, lie in "
    "github.com/emotion-analysis-project/SemEval2025-Task11; give the folder that holds them (or holds track_a) as "
    "data_dir"
)


class SemEval2025(EmotionDataModule):
    """SemEval-2025 Task 11, track A: one language, or several joined; an empty label set is valid (neutral).

    The labels are anger, disgust, fear, joy, sadness and surprise; English has no disgust and Afrikaans no surprise.
    Several languages are joined over the union of their labels; a label that a language does not have is masked
    there, never counted as absent. An empty cell, as in unlabelled test files, is unknown and masked too.

    Args:
        language: Code such as ``"eng"``, ``"arq"`` or ``"ptbr"``, or a list of codes. Indonesian, Javanese, Xhosa and
            Zulu (``ind, jav, xho, zul``) have no training part: in a list they add to validation and test only.
        data_dir: Folder with ``<train|dev|test>/<language>.csv`` or with ``track_a`` (``track_c`` for the languages
            without a training part) in which these lie. ``None`` to fetch from the hub, which lacks the Ethiopian
            languages ``amh, orm, som, tir``.
        hub: Name on the hub, or a local folder in the hub's layout (``eng/train-*.parquet`` and so on).
        **kwargs: Settings that all corpora share, see ``EmotionDataModule``.

    Raises:
        ValueError: An unknown or repeated language, or none.

    Reference:
        Muhammad et al., *BRIGHTER: BRIdging the Gap in Human-Annotated Textual Emotion Recognition Datasets for 28
        Languages*, ACL 2025; Muhammad et al., *SemEval-2025 Task 11*, SemEval 2025; Ethiopian languages: Belay et al.,
        COLING 2025.

    Example:
        >>> SemEval2025("eng").label_space.names
        ('anger', 'fear', 'joy', 'sadness', 'surprise')
        >>> len(SemEval2025(["eng", "deu"]).label_space)
        6
    """

    def __init__(
        self,
        language: str | list[str] = "eng",
        data_dir: str | Path | None = None,
        hub: str = "brighter-dataset/BRIGHTER-emotion-categories",
        **kwargs: Any,
    ) -> None:
        super().__init__(data_dir, **kwargs)
        self.languages = [language] if isinstance(language, str) else list(language)
        for code in self.languages:
            if code not in LANGUAGES:
                known = ", ".join(LANGUAGES)
                raise ValueError(
                    f"data.language: unknown code {code!r}{nearest(code, LANGUAGES)} The codes are {known}"
                )
        if not self.languages or len(set(self.languages)) < len(self.languages):
            raise ValueError(f"data.language: expected one code or different ones, found {self.languages}")
        self.hub = hub

    @property
    def label_space(self) -> LabelSpace:
        """The labels that at least one of the languages has, in the order of the files."""
        has = set().union(*(_labels(code) for code in self.languages))
        names = tuple(name for name in EMOTIONS if name in has)
        languages = {PROMPT_LANGUAGES.get(code, code) for code in self.languages}
        return LabelSpace(names, words=label_words(languages.pop(), names) if len(languages) == 1 else None)

    def read(self, split: Split) -> Corpus:
        """One official split of all languages, one language after another.

        Raises:
            FileNotFoundError: A file is missing or the hub is out of reach; the message describes how to get the files.
            ValueError: A file is not as released, or none of the languages has a training part.
        """
        codes = [code for code in self.languages if split != "train" or code not in NO_TRAINING_PART]
        if not codes:
            raise ValueError(
                f"{self.languages} have no training part, only dev and test; name a language to train on as well"
            )
        return Corpus.concatenate([self._read_language(code, split) for code in codes])

    def _read_language(self, code: str, split: Split) -> Corpus:
        if self.data_dir is not None:
            name = f"{PARTS[split]}/{code}.csv"
            table = read_csv(find_file(self.data_dir, [name, f"track_a/{name}", f"track_c/{name}"], HOW_TO_GET))
        elif code in NOT_ON_HUB:
            raise FileNotFoundError(f"the hub has no {code!r}, which is of EthioEmo, not of BRIGHTER. {HOW_TO_GET}")
        else:
            table = hub_table(self.hub, code, PARTS[split], HOW_TO_GET)
            table.columns.pop("emotions", None)  # the same labels once more, as a list of names
        _check_columns(table, code)
        space, names = self.label_space, _labels(code)
        columns = [space.index(name) for name in names]
        labels = torch.zeros(len(table), len(space))
        mask = torch.zeros(len(table), len(space), dtype=torch.bool)
        labels[:, columns], mask[:, columns] = table.indicators(names, empty_is_unknown=True)
        official = ROWS[code][SPLITS.index(split)] if code in ROWS else None
        warnings = count_warnings(len(table), official, f"rows of the {split} split", table.source)
        return Corpus(space, labels, table.ids("id"), table.texts("text"), mask=mask, warnings=warnings)


def _labels(code: str) -> list[str]:
    return [name for name in EMOTIONS if name != NOT_ANNOTATED.get(code)]


def _check_columns(table: Table, code: str) -> None:
    """The columns known for the language must be there; another emotion may be, but without a positive."""
    expected = ["id", "text", *_labels(code)]
    for name in expected:
        table.column(name)
    for name in table.columns:
        if name not in expected and (name not in EMOTIONS or table.indicators([name], empty_is_unknown=True)[0].any()):
            raise ValueError(
                f"{table.source}: unexpected column {shown(name)}, found {shown(list(table.columns))}, "
                f"expected {expected}"
            )
