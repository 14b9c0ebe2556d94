"""DELA: label-specific features by noise on dimensions that are not informative for a label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mlemo.batch import Batch, ModelOutput
from mlemo.labels import LabelSpace
from mlemo.models.feature_model import FeatureModel
from mlemo.nn.noise_gates import NoiseGates
from mlemo.nn.per_label import PerLabelLinear
from mlemo.nn.rectifier_mlp import rectifier_mlp

__all__ = ["DELA"]


class DELA(FeatureModel):
    """Dual perspective of label-specific feature learning (Hang and Zhang, ICML 2022).

    An encoder computes an embedding z and the scale σ of a noise, both in R^latent. Gates ``s_k ∈ [off_noise,
    1]^latent`` select per label the dimensions that are not informative (``NoiseGates``); in training label k is
    decoded from ``z_k = z + s_k ⊙ σ ⊙ ε``, with one normal ε per instance. Prediction is without noise: ``z_k = z``.
    The objective is

        C · loss + β · mean_{i,k} ½ Σ_d (−log σ² − 2 log s_kd − 1 + σ² s_kd² + z²)

    with binary cross-entropy as the loss, hence its sum over the labels.

    Args:
        label_space: The labels.
        latent: Dimension of z.
        dropout: Dropout in the encoder.
        decoder_dropout: Dropout in the decoder; the code behind the adaptive batch selection paper always uses 0.2.
        beta: Weight of the divergence; the authors' settings are between 0.0001 and 1.
        off_noise: Value of a closed gate. With 0 the divergence of a closed gate is only bounded by the 1e-6 in its
            logarithm, 13.8 nats each, as in the code behind the adaptive batch selection paper.
        kwargs: Settings of ``FeatureModel``: ``features``, ``loss``, ``optimization``.
    """

    def __init__(
        self,
        label_space: LabelSpace | Sequence[str],
        *,
        latent: int = 50,
        dropout: float = 0.0,
        decoder_dropout: float = 0.0,
        beta: float = 1e-3,
        off_noise: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(label_space, **kwargs)
        self.latent, self.dropout, self.decoder_dropout = latent, dropout, decoder_dropout
        self.beta, self.off_noise = beta, off_noise
        self.loss_weight = float(len(self.label_space))

    def build_network(self, width: int, labels: Tensor) -> None:
        """Create encoder, gates, decoder, and one linear unit per label."""
        count = len(self.label_space)
        self.feature_encoder = rectifier_mlp([width, 256, 512, 256], dropout=self.dropout)
        self.normal = nn.Linear(256, 2 * self.latent)
        self.gates = NoiseGates(count, self.latent, self.off_noise)
        self.decoder = rectifier_mlp([width + self.latent, 256, 512])
        self.head = PerLabelLinear(count, 512)

    def forward(self, batch: Batch) -> Tensor:
        """Compute logits ``(B, C)``, without noise."""
        features = batch["features"]
        latent, _ = self.normal(self.feature_encoder(features)).chunk(2, -1)
        return self._decode(features, latent[:, None])

    def outputs(self, batch: Batch) -> ModelOutput:
        """In training, add gated noise and the divergence."""
        if not self.training:
            return ModelOutput(self(batch))
        features = batch["features"]
        latent, log_variance = self.normal(self.feature_encoder(features)).chunk(2, -1)
        gates = self.gates()  # (C, D)
        noise = (0.5 * log_variance).exp() * torch.randn_like(latent)
        logits = self._decode(features, latent[:, None] + gates * noise[:, None])
        divergence = noise_divergence(latent, log_variance, gates)
        return ModelOutput(logits, {"divergence": self.beta * divergence})

    def _decode(self, features: Tensor, latent: Tensor) -> Tensor:
        """Compute logits from latent codes ``(B, C, D)``, or ``(B, 1, D)`` shared by all labels."""
        first, second = self.decoder.lins
        # concat(x, z_k) W = x W_x + z_k W_z, where x W_x is the same for all labels and computed once
        width = features.shape[1]
        shared = F.linear(features, first.weight[:, :width], first.bias)
        hidden = (shared[:, None] + F.linear(latent, first.weight[:, width:])).relu()
        hidden = F.dropout(hidden, self.decoder_dropout, self.training)
        return self.head(F.dropout(second(hidden).relu(), self.decoder_dropout, self.training))


def noise_divergence(latent: Tensor, log_variance: Tensor, gates: Tensor) -> Tensor:
    """Compute ``mean_k ½ Σ_d (−log σ² − 2 log s − 1 + σ² s² + z²)`` per sample, without a ``B × C × D`` tensor.

    Args:
        latent: z, ``(B, D)``.
        log_variance: log σ², ``(B, D)``.
        gates: s, ``(C, D)``.

    Returns:
        ``(B,)`` float32.
    """
    latent, log_variance, gates = latent.float(), log_variance.float(), gates.float()
    of_sample = latent.square() - log_variance - 1
    of_label = -2 * (gates + 1e-6).log().mean(0)
    return 0.5 * (of_sample + of_label + log_variance.exp() * gates.square().mean(0)).sum(1)
