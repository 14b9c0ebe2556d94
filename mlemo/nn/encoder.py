"""Text encoders: a pretrained one by name or folder, or one from scratch with a tokenizer trained on the corpus."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast
from transformers.utils import cached_file
from transformers.utils.hub import extract_commit_hash

from mlemo.fetched import note_fetched
from mlemo.nn.encoder_files import read_files, write_files

__all__ = [
    "EncoderSource",
    "FromScratch",
    "Pretrained",
    "first_position",
    "max_length",
    "note_commit",
    "restore_encoder",
    "save_encoder",
]

SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
#: Code that comes with an encoder is never run, and nobody is asked whether it may be.
OWN_CODE: dict[str, Any] = {"trust_remote_code": False}
DROPOUTS = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "dropout",
    "attention_dropout",
    "embedding_dropout",
    "mlp_dropout",
)


#: Characters of a word that WordPiece cuts into pieces; longer ones are unknown to it.
LONGEST_WORD = 100


class EncoderSource(ABC):
    """Where an encoder and its tokenizer come from. Both are made when training starts, not when the config is read."""

    @abstractmethod
    def tokenizer(self, texts: Callable[[], Sequence[str]]) -> Any:
        """The tokenizer; ``texts`` gives the training texts to those that are trained on them."""

    @abstractmethod
    def encoder(self, tokenizer: Any) -> nn.Module:
        """The encoder, in training mode."""


class Pretrained(EncoderSource):
    """Any Hugging Face encoder.

    Args:
        name: Name on the hub, or a local folder in the hub's layout.
        revision: Branch, tag or commit on the hub.
        dropout: Dropout in the encoder; ``None`` leaves the encoder's own.

    Raises:
        FileNotFoundError: Neither a folder nor a reachable name (when training starts).
        ValueError: ``dropout`` is given, and the encoder's config has no setting for it (when training starts).
    """

    def __init__(self, name: str, revision: str | None = None, dropout: float | None = None) -> None:
        self.name, self.revision, self.dropout = name, revision, dropout

    def tokenizer(self, texts: Callable[[], Sequence[str]]) -> Any:
        """The tokenizer that the encoder was trained with."""
        return self._fetch(AutoTokenizer)

    def encoder(self, tokenizer: Any) -> nn.Module:
        """The encoder with its trained weights, without a pooler."""
        config = self._fetch(AutoConfig)
        note_commit(self.name, cached_file(self.name, "config.json", revision=self.revision, local_files_only=True))
        if self.dropout is not None:
            keys = [key for key in DROPOUTS if hasattr(config, key)]
            if not keys:
                raise ValueError(
                    f"the config of encoder {self.name!r} has no dropout that could be set to {self.dropout}"
                )
            for key in keys:
                setattr(config, key, self.dropout)
        # float32 whatever the checkpoint was saved in: the optimizer needs it, mixed precision casts where it may
        model = self._fetch(AutoModel, config=config, dtype=torch.float32)
        return _without_pooler(model).train()  # from_pretrained leaves eval mode on, and with it dropout off

    def _fetch(self, kind: Any, **settings: Any) -> Any:
        try:
            return kind.from_pretrained(self.name, revision=self.revision, **OWN_CODE, **settings)
        except OSError as error:
            raise FileNotFoundError(
                f"encoder {self.name!r} is neither a local folder in the hub's layout nor to be had from it: {error}"
            ) from error


class FromScratch(EncoderSource):
    """A small BERT with random weights and a WordPiece vocabulary learned from the training texts.

    Args:
        layers: Transformer layers.
        width: Hidden size.
        heads: Attention heads a layer; divides ``width``.
        vocabulary: Most word pieces the vocabulary may have.
        max_positions: Longest input in tokens.
        lowercase: Lower-case the text and strip its accents.
        dropout: Dropout in the encoder.

    Raises:
        ValueError: A size below one, or ``heads`` does not divide ``width``.
    """

    def __init__(
        self,
        layers: int = 2,
        width: int = 128,
        heads: int = 4,
        *,
        vocabulary: int = 4000,
        max_positions: int = 512,
        lowercase: bool = True,
        dropout: float = 0.1,
    ) -> None:
        sizes = {"layers": layers, "width": width, "heads": heads, "max_positions": max_positions}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"encoder {name} must be at least 1, found {size}")
        if width % heads:
            raise ValueError(f"encoder heads must divide the width, found {heads} heads and width {width}")
        self.layers, self.width, self.heads, self.vocabulary = layers, width, heads, vocabulary
        self.max_positions, self.lowercase, self.dropout = max_positions, lowercase, dropout

    def tokenizer(self, texts: Callable[[], Sequence[str]]) -> Any:
        """A WordPiece tokenizer in BERT's manner; the same texts always give the same vocabulary."""
        normalizer = normalizers.BertNormalizer(lowercase=self.lowercase)
        splitter = pre_tokenizers.BertPreTokenizer()
        words = Counter(
            word
            for text in texts()
            for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))
            if len(word) <= LONGEST_WORD
        )
        vocabulary = _train_wordpiece(words, self.vocabulary)
        tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
        tokenizer.normalizer = normalizer
        tokenizer.pre_tokenizer = splitter
        tokenizer.decoder = decoders.WordPiece()
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
        )
        return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=self.max_positions, **SPECIAL)

    def encoder(self, tokenizer: Any) -> nn.Module:
        """A BERT of this size with random weights, without a pooler."""
        config = BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=self.width,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            intermediate_size=4 * self.width,
            max_position_embeddings=self.max_positions,
            hidden_dropout_prob=self.dropout,
            attention_probs_dropout_prob=self.dropout,
            pad_token_id=tokenizer.pad_token_id,
        )
        return BertModel(config, add_pooling_layer=False).train()


def save_encoder(encoder: Any, tokenizer: Any) -> dict[str, str]:
    """Config and tokenizer as ``{file name: content}``, so that a checkpoint stands alone; weights not included.

    Raises:
        ValueError: The tokenizer writes a file that a checkpoint may not hold (`mlemo.nn.encoder_files.NAMES`).
    """
    with TemporaryDirectory() as folder:
        encoder.config.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return read_files(Path(folder))


def restore_encoder(files: Mapping[str, str]) -> tuple[nn.Module, Any]:
    """Encoder (random weights, to be loaded) and tokenizer from what ``save_encoder`` wrote.

    Nothing but the files is read, and no code that they name is run.

    Raises:
        ValueError: There is no ``config.json`` among the files, or one that a checkpoint may not hold.
    """
    with TemporaryDirectory() as folder:
        write_files(files, Path(folder))
        config = AutoConfig.from_pretrained(folder, **OWN_CODE)
        tokenizer = AutoTokenizer.from_pretrained(folder, **OWN_CODE)
    return _without_pooler(AutoModel.from_config(config, dtype=torch.float32, **OWN_CODE)).train(), tokenizer


def note_commit(name: str, config: str | None) -> None:
    """Have the record of a run say which commit of the hub an encoder is, if it is from there.

    Args:
        name: Of the encoder.
        config: Its ``config.json``, in a folder or in the cache of the hub's client.
    """
    commit = extract_commit_hash(config, None)
    if commit is not None:
        note_fetched(name, f"commit:{commit}")


def max_length(encoder: Any, tokenizer: Any, asked: int) -> int:
    """The longest input that both the user's setting and the encoder's position table allow."""
    limits = [asked, int(min(tokenizer.model_max_length, 1_000_000))]
    positions = getattr(encoder.config, "max_position_embeddings", None)
    if positions is not None:
        limits.append(positions - first_position(encoder))
    return min(limits)


def first_position(encoder: Any) -> int:
    """Position id of the first token: 0, or that after the padding id in RoBERTa-like encoders."""
    embeddings = getattr(encoder, "embeddings", None)
    counts_from_padding = getattr(embeddings, "padding_idx", None) is not None
    return (encoder.config.pad_token_id or 0) + 1 if counts_from_padding else 0


def _train_wordpiece(words: Counter[str], size: int) -> dict[str, int]:
    """A WordPiece vocabulary ``{piece: id}`` of at most ``size`` pieces.

    The trainer numbers the pieces inside words, and breaks ties between rare characters, in an order that differs from
    call to call, so two processes would get two vocabularies. Here it is given both, decided from the counts alone.
    """
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    most = max(0, size - len(SPECIAL)) // 2  # each character may need a piece inside words as well
    alphabet = sorted(counts, key=lambda character: (-counts[character], character))[:most]
    inside = sorted({f"##{character}" for word in words for character in word[1:]} & {f"##{c}" for c in alphabet})
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        special_tokens=[*SPECIAL.values(), *inside],
        show_progress=False,
    )
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.train_from_iterator((word for word, count in words.items() for _ in range(count)), trainer)
    return tokenizer.get_vocab()


def _without_pooler(model: Any) -> Any:
    # the pooler's weights would get no gradient, which two-process training refuses
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    return model
