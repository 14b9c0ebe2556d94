"""What models over a text encoder share: making the encoder, and taking it along in the checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mlemo.batch import Batch, PromptLayout, PromptOrder, TextInput
from mlemo.labels import LabelSpace
from mlemo.losses import Loss
from mlemo.models.base import MultiLabelModel
from mlemo.models.label_words import LabelWords, prompt_words
from mlemo.models.optimization import Optimization
from mlemo.nn.encoder import EncoderSource, Pretrained
from mlemo.nn.encoder_properties import is_causal, max_length
from mlemo.nn.features import TextFeatures
from mlemo.nn.frozen_encoder import FrozenEncoder
from mlemo.nn.lora import Lora, stored_source
from mlemo.nn.prompt_order import order_free_inputs
from mlemo.text import TextCleaning, cleaning_from_dict, cleaning_to_dict
from mlemo.text.readable import readable

__all__ = ["TextModel"]


class TextModel(MultiLabelModel):
    """Base of models over a text encoder. The encoder is made when training starts and travels in the checkpoint.

    Args:
        label_space: The labels.
        encoder: A name on the hub, a local folder in its layout, or an ``EncoderSource``.
        loss: Any loss of mlemo.
        max_length: Longest input in tokens (less where the encoder has fewer positions).
        optimization: How the network is trained.
        cleaning: What is done to every text before it is tokenized, such as ``Tweets``; it travels in the checkpoint,
            so that raw texts can be classified. Words of the prompt are left as they are.
    """

    prompt: PromptLayout | None = None
    prompt_order: PromptOrder = "sequential"
    label_words: LabelWords | None = None
    encoder: Any  # a transformers model
    causal: bool = False  #: whether the encoder is a decoder language model, which `is_causal` finds out

    def __init__(
        self,
        label_space: LabelSpace | Sequence[str],
        encoder: EncoderSource | str = "bert-base-uncased",
        loss: Loss | None = None,
        max_length: int = 512,
        optimization: Optimization | None = None,
        *,
        cleaning: TextCleaning | None = None,
    ) -> None:
        super().__init__(label_space, loss, optimization)
        self.source = Pretrained(encoder) if isinstance(encoder, str) else encoder
        self.max_length = max_length
        self.cleaning = cleaning
        self.tokenizer: Any = None
        self._files: dict[str, str] = {}
        self._data_input: TextInput | None = None

    def build_head(self, width: int) -> None:
        """Make the layers above the encoder, whose states have ``width`` dimensions."""
        raise NotImplementedError(f"{type(self).__name__} must define build_head")

    @property
    def data_input(self) -> TextInput:
        """The input that this model needs from the data.

        Raises:
            RuntimeError: The encoder has not been made yet.
        """
        if self._data_input is None:
            raise RuntimeError("the encoder is made when training starts or a checkpoint is loaded; call build() first")
        return self._data_input

    # the encoder's life -----------------------------------------------------------------------------------------

    def configure_model(self) -> None:
        """Make the encoder as soon as a trainer is there; Lightning calls this before fit, test and predict."""
        if self.tokenizer is None and self._trainer is not None:
            self.build(self._training_texts)

    def build(self, texts: Callable[[], Sequence[str]] | None = None) -> None:
        """Make tokenizer, encoder and head.

        Args:
            texts: Function that gives the training texts, for a tokenizer that is trained on them (cleaned).

        Raises:
            ValueError: The tokenizer is trained on texts, and there are none.
        """
        tokenizer = self.source.tokenizer(lambda: self.cleaned(_no_texts() if texts is None else texts()))
        encoder = self.source.encoder(tokenizer)
        self._attach(encoder, tokenizer, self.source.stored(encoder, tokenizer))

    def pretrained_features(self) -> TextFeatures | None:
        """Vectors of texts by the encoder before it is trained, mean-pooled; ``None`` where it is not pretrained."""
        source = self.source.pretrained
        if source is None:
            return None
        return FrozenEncoder(source.name, max_length=self.max_length, cleaning=self.cleaning, revision=source.revision)

    def cleaned(self, texts: Sequence[str]) -> Sequence[str]:
        """Texts as they are tokenized."""
        texts = [readable(text) for text in texts]
        return texts if self.cleaning is None else [self.cleaning(text) for text in texts]

    def _training_texts(self) -> Sequence[str]:
        texts = self.trainer.datamodule.corpus("train").texts  # type: ignore[attr-defined]  # set by Trainer.fit
        return _no_texts() if texts is None else texts

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the tokenizer, the encoder's config and the cleaning of the texts into the checkpoint."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["encoder"] = self._files
        checkpoint["cleaning"] = None if self.cleaning is None else cleaning_to_dict(self.cleaning)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take tokenizer, encoder config and cleaning from the checkpoint where they differ from what is there."""
        super().on_load_checkpoint(checkpoint)
        files, stored = checkpoint["encoder"], checkpoint.get("cleaning")
        cleaning = None if stored is None else cleaning_from_dict(stored)
        if files != self._files or cleaning != self.cleaning:
            self.cleaning = cleaning
            self.load_base(checkpoint)
            self._attach(*self.source.restored(files), files)

    def load_base(self, checkpoint: Mapping[str, Any]) -> None:
        """Load the frozen encoder that a checkpoint of adapters names and does not hold."""
        if checkpoint["encoder"] != self._files:
            self.source = stored_source(checkpoint["encoder"], self.source)
            if isinstance(self.source, Lora):
                self.source.load()

    def merge_adapters(self) -> None:
        """Add low-rank adapters to the weights of the encoder, which then is one without adapters; else nothing."""
        if isinstance(self.source, Lora):
            self.encoder, self._files = self.source.merged(self.encoder, self.tokenizer)
            self.encoder.train(self.training)
            self.source = self.source.base

    def _attach(self, encoder: Any, tokenizer: Any, files: dict[str, str]) -> None:
        self.encoder, self.tokenizer, self._files = encoder, tokenizer, files
        self.causal = is_causal(encoder)
        if self.causal:
            encoder.config.use_cache = False  # keys and values for generating text, which no model here does
        self._data_input = TextInput(
            tokenizer=tokenizer,
            max_length=max_length(encoder, tokenizer, self.max_length),
            prompt=self.prompt,
            token_types=getattr(encoder.config, "type_vocab_size", 0) > 1,
            label_words=prompt_words(self.label_words, self.label_space, tokenizer),
            prompt_order=self.prompt_order,
            prompt_last=self.causal,
            cleaning=self.cleaning,
        )
        self.build_head(encoder.config.hidden_size)
        self.to(self.device)

    def encode(self, batch: Batch, inputs_embeds: Tensor | None = None) -> Tensor:
        """Token states ``(B, L, d)`` of a batch."""
        inputs: dict[str, Tensor] = {"attention_mask": batch["attention_mask"]}
        if "position_ids" in batch:
            inputs |= order_free_inputs(self.encoder, batch)
        if inputs_embeds is None:
            inputs["input_ids"] = batch["input_ids"]
        else:
            inputs["inputs_embeds"] = inputs_embeds
        if "token_type_ids" in batch:
            inputs["token_type_ids"] = batch["token_type_ids"]
        states: Tensor = self.encoder(**inputs).last_hidden_state
        half = getattr(self.encoder, "dtype", torch.float32) != torch.float32
        return states.float() if half else states  # the layers above are float32


def _no_texts() -> Sequence[str]:
    raise ValueError("this encoder's tokenizer is trained on texts, and there are none to train it on")
