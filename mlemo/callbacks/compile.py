"""Compilation of a model's encoder, with batches of few lengths."""

from __future__ import annotations

from typing import Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.nn import functional as F

from mlemo.models.text_model import TextModel

__all__ = ["Compile"]


class Compile(Callback):
    """Compiles the encoder by ``torch.compile``, in place: names of weights and checkpoints stay as they are.

    Each length of a batch may cost a compilation, so that batches are padded to a multiple of ``multiple`` tokens. With
    dropout the compiled encoder draws other random numbers than the uncompiled one, unless the backend is ``eager`` or
    ``aot_eager``.

    Args:
        backend: Of ``torch.compile``; ``inductor`` needs a C++ compiler on a CPU.
        mode: Of ``torch.compile``, such as ``max-autotune``.
        dynamic: Whether one compilation serves all lengths; ``None``: from the second length on.
        multiple: Batches are as long as the next multiple of this number of tokens, or as the encoder allows.

    Raises:
        ValueError: ``multiple`` is below one; or, when a command starts, the model has no text encoder, or its prompt
            has an attention mask of its own.
    """

    def __init__(
        self, backend: str = "inductor", mode: str | None = None, dynamic: bool | None = None, multiple: int = 16
    ) -> None:
        if multiple < 1:
            raise ValueError(f"Compile.multiple must be at least 1, found {multiple}")
        self.backend, self.mode, self.dynamic, self.multiple = backend, mode, dynamic, multiple

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse a model without an encoder to compile."""
        if not isinstance(pl_module, TextModel):
            raise ValueError(f"Compile compiles a text encoder, and {type(pl_module).__name__} has none")
        if pl_module.prompt_order == "free":
            raise ValueError("Compile pads batches, which model.prompt_order: free does not allow; use sequential")

    def _start(self, pl_module: LightningModule) -> None:
        model = cast(TextModel, pl_module)
        if model.encoder._compiled_call_impl is None:
            model.encoder.compile(backend=self.backend, mode=self.mode, dynamic=self.dynamic)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compile the encoder, which is there now; each shape is compiled when it first comes."""
        self._start(pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compile the encoder, where no training has."""
        self._start(pl_module)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compile the encoder, where no training has."""
        self._start(pl_module)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compile the encoder, where no training has."""
        self._start(pl_module)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the encoder as it was."""
        if (encoder := getattr(cast(Any, pl_module), "encoder", None)) is not None:
            encoder._compiled_call_impl = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Pad the batch, in place."""
        self._pad(pl_module, batch)

    def on_validation_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, *args: Any) -> None:
        """Pad the batch, in place."""
        self._pad(pl_module, batch)

    def on_test_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, *args: Any) -> None:
        """Pad the batch, in place."""
        self._pad(pl_module, batch)

    def on_predict_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, *args: Any) -> None:
        """Pad the batch, in place."""
        self._pad(pl_module, batch)

    def _pad(self, pl_module: LightningModule, batch: dict[str, Tensor]) -> None:
        model = cast(TextModel, pl_module)
        length = batch["input_ids"].shape[1]
        missing = min(-(-length // self.multiple) * self.multiple, model.data_input.max_length) - length
        if missing > 0:
            padding = {
                "input_ids": model.tokenizer.pad_token_id or 0,
                "attention_mask": 0,
                "token_type_ids": 0,
                "prompt_segments": len(model.label_space),
            }
            for name, value in padding.items():
                if name in batch:
                    batch[name] = F.pad(batch[name], (0, missing), value=value)
