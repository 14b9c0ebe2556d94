"""Description of a corpus: all that is counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mlemo.data import Corpus, EmotionDataModule
from mlemo.data.base import SPLITS
from mlemo.nn.encoder import Pretrained
from mlemo.reporting.description.numbers import Lengths, SplitNumbers, split_numbers, token_lengths
from mlemo.reporting.description.repeats import Repeats, repeats

__all__ = ["MOST_COMPARED", "Description", "describe"]

EXAMPLES = 20  # texts with different labels on the page

#: Largest number of texts that are compared for similarity; time and memory grow with their characters.
MOST_COMPARED = 200_000


@dataclass(frozen=True)
class Description:
    """Description of a corpus.

    Args:
        corpus: Class of the datamodule.
        settings: Its settings.
        splits: Numbers of each split, by name.
        repeats: Repeated texts; ``None`` for tabular corpora.
        similarity: Smallest Jaccard index of similar texts; ``None`` if they were not looked for.
        encoder: Encoder whose tokens are counted; ``None`` for none.
        max_length: Longest input in tokens; ``None`` without an encoder.
        truncated: Texts of more tokens, by split; empty without an encoder.
        warnings: What makes scores of the corpus doubtful.
        notes: What is not described, with the reason.
    """

    corpus: str
    settings: dict[str, Any]
    splits: dict[str, SplitNumbers]
    repeats: Repeats | None
    similarity: float | None
    encoder: str | None
    max_length: int | None
    truncated: dict[str, int]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


def describe(
    data: EmotionDataModule,
    settings: Mapping[str, Any],
    encoder: str | None = None,
    max_length: int = 512,
    similarity: float | None = 0.8,
) -> Description:
    """Describe all splits of a corpus.

    Args:
        data: The corpus.
        settings: Its settings, which are repeated in the description.
        encoder: Name or folder of a pretrained encoder, whose tokens are counted; ``None`` for none.
        max_length: Longest input in tokens, with special tokens.
        similarity: Smallest Jaccard index of the character 5-grams of similar texts; ``None`` to find equal texts
            alone.

    Raises:
        OSError: A file of the corpus or of the encoder is missing.
        ValueError: A file of the corpus has a mistake, or an encoder is given for a tabular corpus.
    """
    corpora: dict[str, Corpus] = {split: data.corpus(split) for split in SPLITS}
    numbers = {split: split_numbers(corpus) for split, corpus in corpora.items()}
    notes: list[str] = []
    truncated: dict[str, int] = {}
    found = None
    if corpora["train"].texts is None:
        notes.append("This corpus has inputs in place of texts: lengths and repeated texts are not described.")
        if encoder is not None:
            raise ValueError(f"--encoder {encoder} counts tokens, and {type(data).__name__} has no texts")
    else:
        rows = sum(map(len, corpora.values()))
        if similarity is not None and rows > MOST_COMPARED:
            notes.append(f"Similar texts are not looked for among more than {MOST_COMPARED:,} texts, found {rows:,}.")
            similarity = None
        found = repeats(corpora, similarity, EXAMPLES)
    if encoder is not None:
        tokenizer = Pretrained(encoder).tokenizer(list)
        for split, corpus in corpora.items():
            lengths = token_lengths(corpus.texts or [], tokenizer)
            units = numbers[split].lengths | {"tokens": Lengths.of(lengths.tolist())}
            numbers[split] = replace(numbers[split], lengths=units)
            truncated[split] = int((lengths > max_length).sum())
    return Description(
        corpus=type(data).__name__,
        settings=dict(settings),
        splits=numbers,
        repeats=found,
        similarity=None if found is None else similarity,
        encoder=encoder,
        max_length=None if encoder is None else max_length,
        truncated=truncated,
        warnings=tuple(data.warnings()),
        notes=tuple(notes),
    )
