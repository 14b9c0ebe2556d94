"""Token ids of all texts of a corpus, one after another."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import mlemo.text
from mlemo.data.columns import Columns, as_tensor, narrow
from mlemo.data.io.arrow_cache import ArrowCache, content_key
from mlemo.data.kept import CODE, code_of, text_pieces
from mlemo.data.strings import Strings, parts_of
from mlemo.text import TextCleaning, cleaning_to_dict
from mlemo.text.readable import readable

__all__ = ["Tokens", "tokenize"]

#: Packages that the tokens of a text follow from beside the code of mlemo.
PACKAGES = ("tokenizers", "transformers", "emoji", "regex")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tokens:
    """The tokens of ``N`` texts.

    Args:
        ids: ``(T,)`` int32, or int16 where all ids are at most 65,535: then the bits of a uint16, with which torch can
            do little.
        starts: ``(N,)`` long, where each text begins.
        lengths: ``(N,)`` long, its number of tokens.
    """

    ids: Tensor
    starts: Tensor
    lengths: Tensor


def tokenize(
    texts: Sequence[str],
    tokenizer: Any,
    room: int,
    after: Sequence[int],
    *,
    cleaning: Callable[[str], str] | None = None,
    cache: ArrowCache | None = None,
) -> Tokens:
    """Tokenize texts, some thousands at a time.

    Args:
        texts: ``N`` texts.
        tokenizer: A transformers tokenizer.
        room: Most tokens of a text; the rest is cut off.
        after: Tokens after each text.
        cleaning: What is done to each text first.
        cache: Where the tokens are kept, and mapped from; ``None`` for the memory.
    """

    def fill(columns: Columns) -> None:
        for part in parts_of(texts):
            readables = [readable(text) for text in part]
            cleaned = readables if cleaning is None else [cleaning(text) for text in readables]
            encoded = tokenizer(cleaned, add_special_tokens=False, truncation=True, max_length=room)["input_ids"]
            ids = np.array([token for text in encoded for token in (*text, *after)], dtype=np.int64)
            lengths = np.fromiter(map(len, encoded), np.int64, len(encoded)) + len(after)
            columns.add_lists("tokens", narrow(ids), lengths)

    key = None if cache is None else _key(texts, tokenizer, room, after, cleaning)
    if cache is not None and key is not None:
        column = cache.get(key, fill)["tokens"]
    else:
        columns = Columns()
        fill(columns)
        column = columns.batch()["tokens"]
    ids, ends = as_tensor(column.values), as_tensor(column.offsets)
    return Tokens(ids.view(torch.int16) if ids.dtype == torch.uint16 else ids, ends[:-1], ends.diff())


def _key(
    texts: Sequence[str],
    tokenizer: Any,
    room: int,
    after: Sequence[int],
    cleaning: Callable[[str], str] | None,
) -> str | None:
    """A name for everything that the tokens follow from; ``None`` (with a message) if that is not known.

    A prompt and its words count by the room that they leave: they are put before the text in each batch.
    """
    description, code = "", [*CODE, Path(__file__), Path(mlemo.text.__file__).parent]
    if isinstance(cleaning, TextCleaning):
        description = json.dumps(cleaning_to_dict(cleaning), sort_keys=True)
        code.append(Path(inspect.getfile(type(cleaning))))
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or not (cleaning is None or description):
        what = "tokenizer" if backend is None else "cleaning"
        log.warning("the tokens stay in the memory of each process: it is not known what this %s follows from", what)
        return None
    stored = json.loads(backend.to_str())
    del stored["truncation"], stored["padding"]  # of the latest call, not of this one
    settings = {
        "tokenizer": stored,
        "class": type(tokenizer).__name__,
        "side": tokenizer.truncation_side,
        "split": getattr(tokenizer, "split_special_tokens", None),
        "room": room,
        "after": list(after),
        "cleaning": description,
        "versions": {name: version(name) for name in PACKAGES},
    }
    content = texts.key if isinstance(texts, Strings) and texts.key is not None else text_pieces(texts)
    return content_key("tokens", json.dumps(settings, sort_keys=True), code_of(*code), content)
