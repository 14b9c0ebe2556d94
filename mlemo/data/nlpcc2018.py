"""NLPCC 2018 shared task 1: Chinese-English code-switching posts with five emotions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import torch

from mlemo.data.base import EmotionDataModule, Split
from mlemo.data.checks import check_ids, count_warnings
from mlemo.data.corpus import Corpus
from mlemo.data.io.fetch import find_file
from mlemo.data.io.tables import read_text
from mlemo.data.label_words import label_words
from mlemo.labels import LabelSpace
from mlemo.utils.messages import shown

__all__ = ["NLPCC2018"]

EMOTIONS = ("Happiness", "Sadness", "Anger", "Fear", "Surprise")
ROWS = {"train": 6_000, "val": 728, "test": 1_201}  # of the test posts, 1,200 are usually quoted
FILES = {"train": "train.txt", "val": "dev.txt", "test": "test.txt"}
HOW_TO_GET = (
    "NLPCC 2018 task 1 was given to its participants from the conference site (tcci.ccf.org.cn/conference/2018); "
    "give the folder with train.txt, dev.txt and test.txt as data_dir"
)
POST, VALUE, TEXT = '<Tweet id="…">', "T, F or EN", "a line of text"
# one post, line by line; the three names above are where the line varies
LINES = (
    POST,
    *(line for emotion in EMOTIONS for line in (f"<{emotion}>", VALUE, f"</{emotion}>")),
    "<Content>",
    TEXT,
    "</Content>",
    "</Tweet>",
)


class NLPCC2018(EmotionDataModule):
    """NLPCC 2018 task 1: 6,000 / 728 / 1,201 posts, five labels; an empty label set is valid.

    The files look like XML and are not (no root, raw ``&`` and ``<`` in the texts), so they are read by lines. Ids
    count from 0 or 1 in every file and are not unique over the splits.

    Args:
        data_dir: Folder with ``train.txt``, ``dev.txt`` and ``test.txt``.
        english: What the value ``EN`` means, which 79 cells of the test file hold: left over from the annotation of
            the source corpus, it means that the emotion is present and expressed in English. The organisers' scoring
            script counts it as ``"absent"`` (it compares with ``T`` only), and so do published scores; ``"present"``
            takes it at its meaning.
        **kwargs: Settings that all corpora share, see ``EmotionDataModule``.

    Raises:
        ValueError: An unknown value of ``english``.

    Reference:
        Wang, Li, Wu, Sun, Zhou, *Overview of NLPCC 2018 Shared Task 1: Emotion Detection in Code-Switching Text*.

    Example:
        >>> NLPCC2018().label_space.names
        ('happiness', 'sadness', 'anger', 'fear', 'surprise')
    """

    def __init__(
        self,
        data_dir: str | Path | None = None,
        english: Literal["absent", "present"] = "absent",
        **kwargs: Any,
    ) -> None:
        super().__init__(data_dir, **kwargs)
        if english not in ("absent", "present"):
            raise ValueError(f"data.english must be 'absent' or 'present', found {english!r}")
        self.english = english

    @property
    def label_space(self) -> LabelSpace:
        """The five labels in official order."""
        names = tuple(emotion.lower() for emotion in EMOTIONS)
        return LabelSpace(names, words=label_words("chinese", names))

    def read(self, split: Split) -> Corpus:
        """One official split.

        Raises:
            FileNotFoundError: The file is missing; the message describes how to get it.
            ValueError: A post is malformed; the message gives file, line, what was found and what was expected.
        """
        path = find_file(self.data_dir, [FILES[split]], HOW_TO_GET)
        lines = [line.strip() for line in read_text(path).split("\n")]
        values = {"T": 1.0, "F": 0.0, "EN": 1.0 if self.english == "present" else 0.0}
        labels: list[list[float]] = []
        ids: list[str] = []
        texts: list[str] = []
        begins: list[int] = []
        start = 0
        while start < len(lines):
            if not lines[start]:
                start += 1
                continue
            post = lines[start : start + len(LINES)]
            _check(path, start, post)
            begins.append(start + 1)
            ids.append(post[0].split('"')[1])
            labels.append([values[line] for line, expected in zip(post, LINES) if expected == VALUE])
            texts.append(post[LINES.index(TEXT)])
            start += len(LINES)
        check_ids(ids, lambda row: f"{path}:{begins[row]}")
        warnings = count_warnings(len(ids), ROWS[split], f"posts of the {split} split", path)
        return Corpus(self.label_space, torch.tensor(labels), ids, texts, warnings=warnings)


def _check(path: Path, start: int, post: list[str]) -> None:
    for number, (line, expected) in enumerate(zip(post, LINES), start=start + 1):
        if expected == POST:
            right = re.fullmatch(r'<Tweet id="\d+">', line) is not None
        elif expected == VALUE:
            right = line in ("T", "F", "EN")
        elif expected == TEXT:
            right = line not in ("", "</Content>", "</Tweet>")
        else:
            right = line == expected
        if not right:
            found = shown(line) if line else "an empty line"
            raise ValueError(
                f"{path}:{number}: found {found}, expected {expected} (the post begins in line {start + 1})"
            )
    if len(post) < len(LINES):
        raise ValueError(
            f"{path}: the file ends inside the post that begins in line {start + 1}, expected {LINES[len(post)]}"
        )
