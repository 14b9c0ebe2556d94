"""The words that represent the labels in a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from mlemo.labels import LabelSpace

__all__ = ["LabelWords", "prompt_words", "supports_words"]

#: ``auto``: the words of the corpus's language if the tokenizer supports it, else the names of the labels; ``names``;
#: ``corpus``: the words of the corpus's language; or the words themselves.
LabelWords = Literal["auto", "names", "corpus"] | Sequence[str]

#: Largest number of tokens per word, as a multiple of those per English name, for which a tokenizer supports words.
FERTILITY = 2.0


def prompt_words(setting: LabelWords | None, space: LabelSpace, tokenizer: Any) -> tuple[str, ...] | None:
    """Return the words that represent the labels in the prompt; ``None`` for the names of the labels.

    Args:
        setting: See `LabelWords`; ``None`` is ``names``, as in checkpoints of 0.1.0.
        space: The labels, with their words in the corpus's language if known.
        tokenizer: The tokenizer of the encoder.

    Raises:
        ValueError: The setting is ``corpus``, but the corpus has no words of its language.
    """
    if setting is None or setting == "names":
        return None
    if setting == "corpus":
        if space.words is None:
            raise ValueError(
                "model.label_words is 'corpus', but this corpus has no words for its labels except their names: pass "
                "the words as a list, or set model.label_words to names"
            )
        return space.words
    if setting == "auto":
        return space.words if space.words is not None and supports_words(tokenizer, space.words, space.names) else None
    return tuple(setting)


def supports_words(tokenizer: Any, words: Sequence[str], names: Sequence[str]) -> bool:
    """Return whether a tokenizer supports the language of words: none is unknown, and they have few tokens.

    English tokenizers split foreign words into characters or unknown tokens; tokenizers of the language and
    multilingual ones need at most twice as many tokens per word as per English name.

    Args:
        tokenizer: A tokenizer of transformers.
        words: The words.
        names: English names of the same labels.
    """
    pieces = [tokenizer(list(group), add_special_tokens=False)["input_ids"] for group in (words, names)]
    if any(token == tokenizer.unk_token_id for word in pieces[0] for token in word):
        return False
    own, english = (sum(map(len, group)) for group in pieces)
    return own <= FERTILITY * english
