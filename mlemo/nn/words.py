"""Word vectors as an encoder: learned from scratch or from a file, with the values of lexicons beside them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers
from tokenizers.pre_tokenizers import PreTokenizer
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast
from transformers.modeling_outputs import BaseModelOutput

from mlemo.nn.encoder import EncoderSource
from mlemo.nn.lexicon import Lexicon
from mlemo.nn.vector_files import read_vectors
from mlemo.text import tweet_pre_tokenizer

__all__ = ["WordVectors", "WordsConfig", "WordsModel"]

log = logging.getLogger(__name__)

SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]"}  # tokens 0 and 1, and rows 0 and 1 of the vectors
SCRATCH_STD = 0.05  # small, so that training moves them soon; after one epoch on SemEval-2018 better than 0.3


class WordsConfig(PreTrainedConfig):
    """Sizes of a ``WordsModel``.

    Args:
        vocab_size: Words that the tokenizer tells apart.
        rows: Vectors; words without a vector of their own share that of the unknown word.
        vector_size: Dimensions of a vector.
        lexicon_size: Values that the lexicons have for a word.
        frozen: Whether the vectors stay as they are.
        pad_token_id: The padding token.
    """

    model_type = "mlemo_words"

    vocab_size: int = 2
    rows: int = 2
    vector_size: int = 300
    lexicon_size: int = 0
    frozen: bool = False
    pad_token_id: int | None = 0

    @property
    def hidden_size(self) -> int:
        """Dimensions of a word's state."""
        return self.vector_size + self.lexicon_size


class WordsModel(PreTrainedModel):
    """``[h(w) | h'(w)]``: for each word its vector and its lexicon values, zero at padding.

    The states of a text are those of its words alone: none depends on the words around it.

    Args:
        config: Sizes.
    """

    config_class = WordsConfig
    config: WordsConfig
    row: Tensor
    lexicon: Tensor

    def __init__(self, config: WordsConfig) -> None:
        super().__init__(config)
        self.vectors = nn.Embedding(config.rows, config.vector_size, padding_idx=config.pad_token_id)
        self.vectors.requires_grad_(not config.frozen)
        self.register_buffer("row", torch.zeros(config.vocab_size, dtype=torch.long))
        self.register_buffer("lexicon", torch.zeros(config.vocab_size, config.lexicon_size))
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The vectors, by row."""
        return self.vectors

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> BaseModelOutput:
        """States of words.

        Args:
            input_ids: ``(B, L)``.
            attention_mask: Not needed; padding is a word with the vector zero.

        Returns:
            ``last_hidden_state`` ``(B, L, d + v)``: ``d`` dimensions of the vector, ``v`` lexicon values.
        """
        states = self.vectors(self.row[input_ids])
        if self.config.lexicon_size:
            states = torch.cat([states, self.lexicon[input_ids].to(states.dtype)], -1)
        return BaseModelOutput(last_hidden_state=states)


AutoConfig.register(WordsConfig.model_type, WordsConfig)
AutoModel.register(WordsConfig, WordsModel)


class WordVectors(EncoderSource):
    """One vector a word, as in Hurtado et al. (2020), section 4: learned from scratch, or read from a file.

    Which words are known: from scratch, those that the training texts have at least ``min_count`` times, so that rarer
    ones train the vector of the unknown word. With a file, the words of the training texts that have a vector in it,
    and beside them the file's most frequent words, because a text that comes later may have words that the training
    texts did not; the whole of a file would be gigabytes in every checkpoint. In both cases also every word of a
    lexicon. A known word without a vector has that of the unknown word: the file's vector for ``unknown``, or zero
    where it has none. What the splitting of texts never gives, such as an entry of two words, is left out.

    Args:
        file: word2vec (text or binary), GloVe or fastText ``.vec`` file, gzipped or not; ``None`` learns from scratch.
        freeze: Leave a file's vectors as they are (in the paper the network takes them as its input). From scratch they
            are learned in any case.
        width: Dimensions of vectors that are learned from scratch; those of a file have their own.
        vocabulary: Most words that may have a vector.
        min_count: How often a word must occur to have a vector of its own, from scratch.
        unknown: The word of the file whose vector unknown words get.
        lowercase: Lower-case texts and the words of file and lexicons alike.
        strip_accents: Take the marks off the letters of texts, file and lexicons alike, so that words meet where a
            cleaning has taken them off the texts.
        lexicons: Tables whose values stand beside the vectors: zeros for words that they do not have, never trained.
        pre_tokenizer: What splits a text into words; ``tweet_pre_tokenizer()`` if left out.

    Raises:
        ValueError: A size below one.
    """

    def __init__(
        self,
        file: str | Path | None = None,
        *,
        freeze: bool = True,
        width: int = 300,
        vocabulary: int = 30_000,
        min_count: int = 2,
        unknown: str = "unknown",
        lowercase: bool = True,
        strip_accents: bool = False,
        lexicons: Sequence[Lexicon] = (),
        pre_tokenizer: PreTokenizer | None = None,
    ) -> None:
        for name, size in {"width": width, "vocabulary": vocabulary, "min_count": min_count}.items():
            if size < 1:
                raise ValueError(f"model.encoder.{name} must be at least 1, found {size}")
        self.file, self.freeze, self.width, self.unknown = file, freeze, width, unknown
        self.vocabulary, self.min_count, self.lexicons = vocabulary, min_count, lexicons
        steps: list[normalizers.Normalizer] = [normalizers.Lowercase()] if lowercase else []
        if strip_accents:
            steps += [normalizers.NFD(), normalizers.StripAccents(), normalizers.NFC()]
        self.normalizer = normalizers.Sequence(steps)
        self.pre_tokenizer = tweet_pre_tokenizer() if pre_tokenizer is None else pre_tokenizer
        self._tables: _Tables | None = None

    def tokenizer(self, texts: Callable[[], Sequence[str]]) -> Any:
        """A tokenizer with one token a word and none around a text; the files are read here."""
        normalize = self.normalizer.normalize_str
        counts = Counter(word for text in texts() for word, _ in self.pre_tokenizer.pre_tokenize_str(normalize(text)))
        for token in SPECIAL.values():
            del counts[token]
        by_frequency = sorted(counts, key=lambda word: (-counts[word], word))
        if self.file is None:
            words = [word for word in by_frequency if counts[word] >= self.min_count][: self.vocabulary]
            vectors = self._random(len(SPECIAL) + len(words))
        else:
            words, vectors = self._from_file(self.file, by_frequency)
        covered = sum(counts[word] for word in words) / max(1, counts.total())
        log.info("%s words have a vector: %.1f %% of all words of the training texts", f"{len(words):,}", 100 * covered)
        lexicons = [lexicon.read(normalize) for lexicon in self.lexicons]
        others = {word for lexicon in lexicons for word in lexicon.index}.difference(words)
        vocabulary = [*SPECIAL.values(), *words, *sorted(filter(self._is_token, others))]
        values = [lexicon.reindex(vocabulary, fill_value=0.0).to_numpy(np.float32) for lexicon in lexicons]
        lexicon_values = np.concatenate([np.zeros((len(vocabulary), 0), np.float32), *values], axis=1)
        lexicon_values[: len(SPECIAL)] = 0.0
        rows = torch.arange(len(vocabulary))
        self._tables = _Tables(
            row=torch.where(rows < len(vectors), rows, 1),
            vectors=vectors,
            lexicon=torch.from_numpy(lexicon_values),
        )
        tokenizer = Tokenizer(
            models.WordLevel({word: number for number, word in enumerate(vocabulary)}, SPECIAL["unk_token"])
        )
        tokenizer.normalizer = self.normalizer
        tokenizer.pre_tokenizer = self.pre_tokenizer
        return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL)

    def encoder(self, tokenizer: Any) -> nn.Module:
        """The vectors and lexicon values of the words of the tokenizer that was made last."""
        if self._tables is None or len(self._tables.row) != len(tokenizer):
            raise ValueError("word vectors belong to their tokenizer: call tokenizer() first")
        row, vectors, lexicon = self._tables.row, self._tables.vectors, self._tables.lexicon
        model = WordsModel(
            WordsConfig(
                vocab_size=len(row),
                rows=len(vectors),
                vector_size=vectors.shape[1],
                lexicon_size=lexicon.shape[1],
                frozen=self.freeze and self.file is not None,
            )
        )
        with torch.no_grad():
            model.row.copy_(row)
            model.lexicon.copy_(lexicon)
            model.vectors.weight.copy_(vectors)
        return model.train()

    def _is_token(self, word: str) -> bool:
        tokens = [token for token, _ in self.pre_tokenizer.pre_tokenize_str(word)]
        return tokens == [word] and word not in SPECIAL.values()

    def _random(self, rows: int) -> Tensor:
        vectors = SCRATCH_STD * torch.randn(rows, self.width)
        vectors[0] = 0.0  # padding
        return vectors

    def _from_file(self, file: str | Path, by_frequency: list[str]) -> tuple[list[str], Tensor]:
        """Words with a vector of their own; vectors of the special tokens and of them."""
        normalize = self.normalizer.normalize_str
        unknown_word = normalize(self.unknown)
        wanted = {*by_frequency, unknown_word}
        found = read_vectors(file, wanted, self.vocabulary, normalize)
        known = [word for word in by_frequency if word in found]
        frequent = (word for word in found if word not in wanted and self._is_token(word))
        words = [*known, *frequent][: self.vocabulary]
        if not words:
            raise ValueError(f"{file} has a vector for no word of the training texts, such as {by_frequency[:5]}")
        vectors = np.stack([found[word] for word in words])
        unknown = found.get(unknown_word, np.zeros_like(vectors[0]))
        return words, torch.from_numpy(np.concatenate([np.zeros_like(vectors[:1]), unknown[None], vectors]))


@dataclass(frozen=True)
class _Tables:
    """What a tokenizer's words stand for: ``row (V,)`` of ``vectors (R, d)``, and ``lexicon (V, v)``."""

    row: Tensor
    vectors: Tensor
    lexicon: Tensor
