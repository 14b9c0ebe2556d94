"""Texts without labels, as rows that are not annotated."""

from __future__ import annotations

from pathlib import Path

import torch

from mlemo.data.corpus import Corpus
from mlemo.data.io.text_lines import text_lines
from mlemo.labels import LabelSpace

__all__ = ["unlabeled_texts"]


def unlabeled_texts(path: Path, space: LabelSpace) -> Corpus:
    """Read a UTF-8 file with one text per line as a corpus without any annotated label; empty lines are left out.

    Args:
        path: The file.
        space: The labels.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is not UTF-8, or has no text.
    """
    lines = [line.rstrip("\r\n") for line in text_lines(path, newline="\n")]
    texts = [line for line in lines if line.strip()]
    ids = [f"unlabeled-{row}" for row in range(len(texts))]
    nothing = torch.zeros(len(texts), len(space))
    empty = len(lines) - len(texts)
    dropped = {f"empty lines of {path.name}": empty} if empty else {}
    return Corpus(space, nothing, ids, texts, mask=nothing.bool(), dropped=dropped)
