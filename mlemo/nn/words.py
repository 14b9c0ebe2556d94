"""Word vectors as an encoder: learned from scratch or read from a file, concatenated with values of lexicons."""

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
SCRATCH_STD = 0.05  # small, so that training changes them soon; after one epoch on SemEval-2018 better than 0.3


class WordsConfig(PreTrainedConfig):
    """Sizes of a ``WordsModel``.

    Args:
        vocab_size: Number of words of the tokenizer.
        rows: Number of vectors; words without a vector share that of the unknown word.
        vector_size: Dimensions of a vector.
        lexicon_size: Number of lexicon values per word.
        frozen: Whether the vectors are not trained.
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
        """Number of dimensions of a word's state."""
        return self.vector_size + self.lexicon_size


class WordsModel(PreTrainedModel):
    """``[h(w) | h'(w)]``: the vector and the lexicon values of each word, zero at padding.

    The state of a word does not depend on the other words of the text.

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
        """Return the module of the vectors."""
        return self.vectors

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> BaseModelOutput:
        """Look up the states of words.

        Args:
            input_ids: ``(B, L)``.
            attention_mask: Ignored; padding is a word with a zero vector.

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
    """One vector per word, as in Hurtado et al. (2020), section 4: learned from scratch, or read from a file.

    The vocabulary from scratch consists of the words that occur at least ``min_count`` times in the training texts, so
    that rarer ones train the vector of the unknown word. With a file, it consists of the words of the training texts
    with a vector in it and the file's most frequent words, since later texts may have words that the training texts
    lack; a whole file would need gigabytes in every checkpoint. In both cases every word of a lexicon is added. A word
    of the vocabulary without a vector has that of the unknown word: the file's vector for ``unknown``, or zero without
    one. Entries that the pre-tokenizer never produces, such as two words, are left out.

    Args:
        file: word2vec (text or binary), GloVe or fastText ``.vec`` file, gzipped or not; ``None`` learns from scratch.
        freeze: Do not train a file's vectors (in the paper they are inputs of the network). From scratch they are
            always trained.
        width: Dimension of vectors learned from scratch; the dimension of a file's vectors is that in the file.
        vocabulary: Largest number of words with a vector.
        min_count: Smallest number of occurrences of a word with a vector, from scratch.
        unknown: Word of the file whose vector is that of unknown words.
        lowercase: Convert texts and the words of file and lexicons to lower case.
        strip_accents: Remove the marks of letters of texts, file and lexicons, so that words match if a cleaning has
            removed them from the texts.
        lexicons: Tables whose values are appended to the vectors: zeros for missing words, never trained.
        pre_tokenizer: Pre-tokenizer that splits a text into words; ``tweet_pre_tokenizer()`` if left out.

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
        """Create a tokenizer with one token per word and no special tokens; the files are read here."""
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
        """Return the vectors and lexicon values of the words of the latest tokenizer."""
        if self._tables is None or len(self._tables.row) != len(tokenizer):
            raise ValueError("word vectors need their tokenizer: call tokenizer() first")
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
        """Return the words with a vector, and the vectors of the special tokens and of these words."""
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
    """The values of a tokenizer's words: ``row (V,)`` of ``vectors (R, d)``, and ``lexicon (V, v)``."""

    row: Tensor
    vectors: Tensor
    lexicon: Tensor
