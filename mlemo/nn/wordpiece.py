"""A WordPiece vocabulary that depends on the counts of the words alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

__all__ = ["train_wordpiece"]


def train_wordpiece(words: Counter[str], size: int, special: Collection[str]) -> dict[str, int]:
    """A WordPiece vocabulary ``{piece: id}`` of at most ``size`` pieces.

    The trainer numbers the pieces inside words, and breaks ties between rare characters, in an order that differs from
    call to call, so two processes would get two vocabularies. Here it is given both, decided from the counts alone.

    Args:
        words: Word -> its count.
        size: Most pieces.
        special: Special tokens, which come first.
    """
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    most = max(0, size - len(special)) // 2  # each character may need a piece inside words as well
    alphabet = sorted(counts, key=lambda character: (-counts[character], character))[:most]
    inside = sorted({f"##{character}" for word in words for character in word[1:]} & {f"##{c}" for c in alphabet})
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        special_tokens=[*special, *inside],
        show_progress=False,
    )
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.train_from_iterator((word for word, count in words.items() for _ in range(count)), trainer)
    return tokenizer.get_vocab()
