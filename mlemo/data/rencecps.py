"""Ren-CECps 1.0: sentences of Chinese blogs with eight emotions."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch

from mlemo.data.base import SPLITS, EmotionDataModule, Split
from mlemo.data.checks import count_warnings
from mlemo.data.corpus import Corpus
from mlemo.data.label_words import label_words
from mlemo.data.splits import random_split
from mlemo.labels import LabelSpace
from mlemo.utils.messages import shown

__all__ = ["RenCECps"]

EMOTIONS = ("Joy", "Hate", "Love", "Sorrow", "Anxiety", "Surprise", "Anger", "Expect")
DOCUMENTS, SENTENCES = 1_487, 35_096
FRACTIONS = (0.7, 0.15, 0.15)
HOW_TO_GET = (
    "Ren-CECps 1.0 is given by its authors to those who sign their agreement, and may not be passed on; "
    "give the folder with its cet_*.xml files as data_dir"
)


class RenCECps(EmotionDataModule):
    """Ren-CECps 1.0 at sentence level: 1,487 documents, 35,096 sentences, eight labels; an empty label set is valid.

    A label is on where its intensity, 0.0 to 1.0, is above 0. There is no official split: the sentences are shuffled
    with ``seed`` and cut 70 / 15 / 15, as the papers do, so sentences of one document, and equal ones, may be in
    different parts. State the seed with the scores.

    Args:
        data_dir: Folder with the ``cet_*.xml`` files, in sub-folders or not.
        **kwargs: Settings that all corpora share (``seed`` among them), see ``EmotionDataModule``.

    Reference:
        Quan, Ren, *A blog emotion corpus for emotional expression analysis in Chinese*, Computer Speech and Language
        24 (2010).

    Example:
        >>> RenCECps().label_space.names[:3]
        ('joy', 'hate', 'love')
    """

    def __init__(self, data_dir: str | Path | None = None, **kwargs: Any) -> None:
        super().__init__(data_dir, **kwargs)

    @property
    def label_space(self) -> LabelSpace:
        """The eight labels in official order."""
        names = tuple(emotion.lower() for emotion in EMOTIONS)
        return LabelSpace(names, words=label_words("chinese", names))

    def read(self, split: Split) -> Corpus:
        """One part of the seeded split.

        Raises:
            FileNotFoundError: No ``cet_*.xml`` is there; the message describes how to get them.
            ValueError: A file is not as expected; the message names file, paragraph and sentence, or the line.
        """
        return self._parts[split]

    @cached_property
    def _parts(self) -> dict[Split, Corpus]:
        corpus = self._whole()
        try:
            parts = random_split(len(corpus), FRACTIONS, self.seed)
        except ValueError as error:
            raise ValueError(f"{self.data_dir}: {error}") from None
        return dict(zip(SPLITS, map(corpus.select, parts)))

    def _whole(self) -> Corpus:
        if self.data_dir is None:
            raise FileNotFoundError(f"no data_dir is given. {HOW_TO_GET}")
        paths = sorted(self.data_dir.rglob("cet_*.xml"))
        if not paths:
            raise FileNotFoundError(f"{self.data_dir} has no cet_*.xml. {HOW_TO_GET}")
        labels: list[list[float]] = []
        ids: list[str] = []
        texts: list[str] = []
        for path in paths:
            document = path.relative_to(self.data_dir).with_suffix("").as_posix()
            for p, paragraph in enumerate(_parse(path).findall("paragraph"), start=1):
                for s, sentence in enumerate(paragraph.findall("sentence"), start=1):
                    where = f"{path}, paragraph {p}, sentence {s}"
                    text = sentence.get("S")
                    if text is None:
                        raise ValueError(f"{where}: found the attributes {shown(list(sentence.attrib))}, expected 'S'")
                    texts.append(text)
                    ids.append(f"{document}-{p}-{s}")
                    labels.append([_intensity(sentence, emotion, where) > 0 for emotion in EMOTIONS])
        if not ids:
            raise ValueError(f"{self.data_dir}: {len(paths)} cet_*.xml files without a <sentence> in a <paragraph>")
        warnings = (
            *count_warnings(len(paths), DOCUMENTS, "documents", self.data_dir),
            *count_warnings(len(ids), SENTENCES, "sentences", self.data_dir),
        )
        return Corpus(self.label_space, torch.tensor(labels, dtype=torch.float32), ids, texts, warnings=warnings)


def _parse(path: Path) -> ElementTree.Element:
    try:
        return ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise ValueError(f"{path}:{error.position[0]}: not XML: {error}") from None
    except (LookupError, ValueError) as error:  # an encoding that the XML parser does not support
        raise ValueError(f"{path}: {error}; save the file as UTF-8 and say so in its first line") from None


def _intensity(sentence: ElementTree.Element, emotion: str, where: str) -> float:
    element = sentence.find(emotion)
    if element is None:
        raise ValueError(f"{where}: found {shown([child.tag for child in sentence])}, expected <{emotion}> among them")
    try:
        value = float(element.text or "")
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ValueError(f"{where}: <{emotion}> holds {shown(element.text)}, expected a number from 0 to 1")
    return value
