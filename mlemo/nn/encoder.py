"""Text encoders: a pretrained one by name or folder, or one from scratch with a tokenizer trained on the corpus."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast

from mlemo.nn.encoder_files import read_files, write_files
from mlemo.nn.encoder_reference import note_commit
from mlemo.nn.wordpiece import train_wordpiece
from mlemo.utils.serialization import Recorded

__all__ = [
    "EncoderSource",
    "FromScratch",
    "Pretrained",
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

WeightType = Literal["float32", "bfloat16", "float16"]

#: Characters of a word that WordPiece cuts into pieces; longer ones are unknown to it.
LONGEST_WORD = 100


class EncoderSource(Recorded, ABC):
    """Where an encoder and its tokenizer come from. Both are made when training starts, not when the config is read."""

    @property
    def pretrained(self) -> Pretrained | None:
        """The pretrained encoder that training starts from; ``None`` where it starts from random weights."""
        return None

    @abstractmethod
    def tokenizer(self, texts: Callable[[], Sequence[str]]) -> Any:
        """The tokenizer; ``texts`` gives the training texts to those that are trained on them."""

    @abstractmethod
    def encoder(self, tokenizer: Any) -> nn.Module:
        """The encoder, in training mode."""

    def stored(self, encoder: Any, tokenizer: Any) -> dict[str, str]:
        """What a checkpoint holds of the encoder beside its weights, as ``{file name: content}``."""
        return save_encoder(encoder, tokenizer)

    def restored(self, files: Mapping[str, str]) -> tuple[nn.Module, Any]:
        """Encoder, whose weights are loaded later, and tokenizer from what `stored` returned."""
        return restore_encoder(files)


class Pretrained(EncoderSource):
    """Any Hugging Face encoder or decoder language model, of which the token states are used.

    Args:
        name: Name on the hub, or a local folder in the hub's layout.
        revision: Branch, tag or commit on the hub.
        dropout: Dropout in the encoder; ``None`` leaves the encoder's own.
        dtype: Data type of the weights. ``bfloat16`` and ``float16`` halve the memory and are meant for weights that
            are not trained (``Lora``): AdamW loses small updates in them.
        attn_implementation: How attention is computed, such as ``sdpa``, ``eager`` or ``flash_attention_2``; ``None``
            for what transformers selects.
        gradient_checkpointing: Compute the states of each layer again in the backward pass instead of keeping them,
            which takes about a third more time and memory for one layer in place of all.

    Raises:
        FileNotFoundError: Neither a folder nor a reachable name (when training starts).
        ValueError: An unknown ``dtype``, an ``attn_implementation`` from the hub; when training starts: ``dropout`` is
            given, and the encoder's config has no setting for it, or the model does not support
            ``attn_implementation`` or ``gradient_checkpointing``.
    """

    def __init__(
        self,
        name: str,
        revision: str | None = None,
        dropout: float | None = None,
        *,
        dtype: WeightType = "float32",
        attn_implementation: str | None = None,
        gradient_checkpointing: bool = False,
    ) -> None:
        if dtype not in get_args(WeightType):
            raise ValueError(f"the dtype of an encoder is one of {get_args(WeightType)}, found {dtype!r}")
        if attn_implementation is not None and "/" in attn_implementation:
            raise ValueError(
                f"attn_implementation {attn_implementation!r} stands for code on the hub, which is never run; expected "
                "one that is part of transformers, such as sdpa"
            )
        self.name, self.revision, self.dropout = name, revision, dropout
        self.dtype, self.attn_implementation = dtype, attn_implementation
        self.gradient_checkpointing = gradient_checkpointing

    @property
    def pretrained(self) -> Pretrained:
        """Itself."""
        return self

    def tokenizer(self, texts: Callable[[], Sequence[str]]) -> Any:
        """The tokenizer that the encoder was trained with."""
        return self._fetch(AutoTokenizer)

    def encoder(self, tokenizer: Any) -> nn.Module:
        """The encoder with its trained weights, without a pooler."""
        return self.load()

    def load(self, **settings: Any) -> nn.Module:
        """The encoder with its trained weights, without a pooler, in training mode.

        Args:
            settings: Further arguments of ``AutoModel.from_pretrained``, such as a quantization.
        """
        config = self._fetch(AutoConfig)
        note_commit(self.name, self.revision)
        if not hasattr(config, "hidden_size"):
            raise ValueError(
                f"encoder {self.name!r} is a {type(config).__name__}, which has no hidden_size of its own: it may be "
                "a model of texts and images; a model of texts alone is expected"
            )
        if self.dropout is not None:
            keys = [key for key in DROPOUTS if hasattr(config, key)]
            if not keys:
                raise ValueError(
                    f"the config of encoder {self.name!r} has no dropout that could be set to {self.dropout}"
                )
            for key in keys:
                setattr(config, key, self.dropout)
        # float32 whatever the checkpoint was saved in: the optimizer needs it, mixed precision casts where it may
        model = self._fetch(AutoModel, config=config, dtype=getattr(torch, self.dtype), **settings)
        return self._adjusted(_without_pooler(model))

    def restored(self, files: Mapping[str, str]) -> tuple[nn.Module, Any]:
        """The encoder, with the settings of this source, and the tokenizer."""
        encoder, tokenizer = restore_encoder(files)
        return self._adjusted(encoder.to(getattr(torch, self.dtype))), tokenizer

    def _adjusted(self, model: Any) -> nn.Module:
        try:
            if self.attn_implementation is not None:
                model.set_attn_implementation(self.attn_implementation)
            if self.gradient_checkpointing:
                # The second name is that of earlier releases. Reentrant checkpointing needs inputs that require
                # a gradient, and those of a frozen encoder do not.
                new = getattr(model, "activation_checkpointing_enable", None)
                (new or model.gradient_checkpointing_enable)({"use_reentrant": False})
        except (ValueError, ImportError) as error:
            raise ValueError(f"encoder {self.name!r}: {error}") from error
        return model.train()  # from_pretrained leaves eval mode on, and with it dropout off

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
        vocabulary = train_wordpiece(words, self.vocabulary, SPECIAL.values())
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
    """Config and tokenizer as ``{file name: content}``, so that a checkpoint is complete; weights not included.

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


def _without_pooler(model: Any) -> Any:
    # the pooler's weights would get no gradient, which two-process training refuses
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    return model
