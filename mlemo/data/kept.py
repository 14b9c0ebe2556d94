"""A corpus in a file of the cache: texts, ids, labels and mask are in the memory of the machine once."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow
import torch

from mlemo.data.columns import Columns, as_tensor
from mlemo.data.corpus import Corpus
from mlemo.data.io.arrow_cache import ArrowCache, content_key
from mlemo.data.strings import PART, Strings, parts_of
from mlemo.labels import LabelSpace

__all__ = ["CODE", "add_corpus", "code_of", "corpus_of", "keep", "text_pieces"]

#: The source of this file and of `Columns`, which say how a corpus lies in its file.
CODE = (Path(__file__), Path(__file__).with_name("columns.py"))

log = logging.getLogger(__name__)


def keep(corpus: Corpus, cache: ArrowCache) -> Corpus:
    """The same corpus of texts, mapped; itself where it is that already, or (with a message) cannot be.

    Its extras stay in memory.

    Args:
        corpus: With texts.
        cache: Where its file is.
    """
    texts = corpus.texts
    if texts is None or (isinstance(texts, Strings) and texts.key is not None):
        return corpus
    numbers = (corpus.labels.numpy().tobytes(), corpus.mask.numpy().tobytes())
    names = corpus.label_space.names
    key = content_key("corpus", code_of(*CODE), *names, text_pieces(corpus.ids), text_pieces(texts), *numbers)
    try:
        batch = cache.get(key, lambda columns: add_corpus(columns, corpus))
    except UnicodeEncodeError:
        log.warning("the corpus stays in the memory of each process: a text holds half of a surrogate pair")
        return corpus
    return replace(corpus_of(batch, key, corpus.label_space, corpus.dropped, corpus.warnings), extras=corpus.extras)


def add_corpus(columns: Columns, corpus: Corpus) -> None:
    """Append a corpus of texts to the columns of a table.

    Raises:
        UnicodeEncodeError: A text or an id holds half of a surrogate pair.
    """
    for begin, (texts, ids) in enumerate(zip(parts_of(corpus.texts or []), parts_of(corpus.ids))):
        rows = slice(begin * PART, (begin + 1) * PART)
        columns.add_strings("text", texts)
        columns.add_strings("id", ids)
        columns.add_rows("labels", corpus.labels[rows].float().numpy())
        columns.add_rows("mask", corpus.mask[rows].numpy().view(np.uint8))


def corpus_of(
    batch: pyarrow.RecordBatch,
    key: str,
    space: LabelSpace,
    dropped: dict[str, int] | None = None,
    warnings: tuple[str, ...] = (),
) -> Corpus:
    """The corpus that `add_corpus` put into a table."""
    shape = (len(batch), len(space))
    return Corpus(
        space,
        as_tensor(batch["labels"].values).view(shape),
        Strings(batch["id"]),
        Strings(batch["text"], key),
        mask=as_tensor(batch["mask"].values).view(torch.bool).view(shape),
        dropped=dict(dropped or {}),
        warnings=warnings,
    )


def text_pieces(texts: Iterable[str]) -> Iterator[bytes]:
    """Texts for a `content_key`, in which it counts where one ends."""
    for text in texts:
        content = text.encode("utf-8", "surrogatepass")
        yield len(content).to_bytes(4, "little") + content


def code_of(*places: Path) -> bytes:
    """The source of files and of the folders of packages, which what they compute follows from."""
    files = chain.from_iterable(sorted(place.glob("*.py")) if place.is_dir() else [place] for place in places)
    return b"\0".join(file.read_bytes() for file in files)
