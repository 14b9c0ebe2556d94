"""Mixup: training on convex combinations of two samples and of their labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from mlemo.models.feature_model import FeatureModel
from mlemo.models.fitted_model import FittedModel
from mlemo.models.text_model import TextModel
from mlemo.utils.seeding import step_generator, step_seed
from mlemo.utils.serialization import Recorded

__all__ = ["Mixup"]

_STREAM = 3


class Mixup(Recorded, Callback):
    """``x̃ = λ x_i + (1 − λ) x_j``, ``ỹ = λ y_i + (1 − λ) y_j`` with λ ~ Beta(α, α); training batches only.

    Zhang et al., "mixup: Beyond Empirical Risk Minimization" (ICLR 2018), eq. 1: each batch is mixed with a random
    permutation of itself, under one λ. What is mixed are the features of a ``FeatureModel``, and the input embeddings,
    token by token, of a ``TextModel`` without a prompt (``wordMixup`` of Guo et al. 2019), where the mixture has the
    tokens that either text has; lexicon values of ``WordVectors`` remain those of x_i. A label is annotated where both
    samples have it annotated. The loss has to take soft targets.

    Permutation and λ follow from the place in training, so a resumed run draws the same ones.

    Args:
        alpha: α > 0; the smaller, the closer λ is to 0 or 1.

    Raises:
        ValueError: ``alpha`` is not positive; or, when training starts, a model with a prompt or without gradients.
    """

    def __init__(self, alpha: float = 0.2) -> None:
        if not alpha > 0:
            raise ValueError(f"Mixup.alpha must be positive, found {alpha}")
        self.alpha = alpha
        self._share = 1.0
        self._partners: Tensor | None = None  # (B,) long, j of each i; only within a training step
        self._hook: RemovableHandle | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Have the embeddings of a text model mixed; refuse models of which nothing can be mixed."""
        if isinstance(pl_module, TextModel) and pl_module.prompt is None:
            self._hook = pl_module.encoder.get_input_embeddings().register_forward_hook(self._mix_embeddings)
        elif isinstance(pl_module, FittedModel) or not isinstance(pl_module, FeatureModel):
            raise ValueError(
                "Mixup mixes the features or the embeddings of a training batch, and "
                f"{type(pl_module).__name__} has a prompt or no training by batches"
            )

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Draw λ and the partners, and mix labels and features in place."""
        place = (trainer.current_epoch, batch_idx, trainer.global_rank, _STREAM)
        self._share = share = float(np.random.default_rng(step_seed(*place)).beta(self.alpha, self.alpha))
        labels = batch["labels"]
        generator = step_generator(labels.device, *place)
        self._partners = partners = torch.randperm(len(labels), generator=generator, device=labels.device)
        for key in {"labels", "features"} & batch.keys():
            batch[key] = torch.lerp(batch[key][partners], batch[key], share)
        batch["label_mask"] = batch["label_mask"] & batch["label_mask"][partners]
        for key in {"attention_mask", "token_type_ids"} & batch.keys():
            batch[key] = torch.maximum(batch[key], batch[key][partners])

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """End the mixing; validation and test see whole texts."""
        self._partners = None

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the embeddings as they were."""
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the embeddings as they were."""
        self.on_fit_end(trainer, pl_module)

    def _mix_embeddings(self, module: Any, inputs: Any, embeddings: Tensor) -> Tensor | None:
        if self._partners is None:
            return None
        copies = embeddings.unflatten(0, (-1, len(self._partners)))  # several for some losses, see Loss.copies
        return torch.lerp(copies[:, self._partners], copies, self._share).flatten(0, 1)
