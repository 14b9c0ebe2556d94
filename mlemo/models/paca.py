"""PACA: labels are predicted by comparing the densities of a code under positive and negative prototypes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mlemo.batch import Batch, ModelOutput
from mlemo.labels import LabelSpace
from mlemo.models.feature_model import FeatureModel
from mlemo.models.mpvae import normal_divergence, perturbed
from mlemo.nn.label_flow import LabelFlow
from mlemo.nn.rectifier_mlp import rectifier_mlp

__all__ = ["PACA"]


class PACA(FeatureModel):
    """Prototypical networks with label correlations (Hang et al., AAAI 2022).

    The features have a latent normal q(z | x) and a code ``c = MLP(concat(x, z))``. Each label has two densities of
    codes, of its positive and its negative prototype (``LabelFlow``), and ``logit_k = log P_k(c) − log N_k(c)``: the
    softmax of the two log densities. The objective is

        α · C · loss + γ · (KL(q(z|x) ‖ q(z|y)) + C · BCE(label decoder(z_y), y)) + error(feature decoder(c), x)

    with the reconstruction error summed over the features. z is sampled in training, and is its mean in prediction.
    Labels that are not annotated are 0 in the input of the label encoder and are left out of the label decoder's term.

    Args:
        label_space: The labels.
        latent: Dimension of z and of the code.
        dropout: Dropout in the two encoders.
        alpha: Weight of the classification.
        gamma: Weight of the label autoencoder.
        binary_features: Use the cross-entropy of features in [0, 1] as the reconstruction error, instead of the squared
            distance of unscaled features. (The code behind the adaptive batch selection paper compares them with the
            sigmoid of the decoded values, which suits features in [0, 1] only.)
        flow_hidden: Hidden units of each flow's masked network.
        flow_units: Number of sigmoid units per dimension. The time of a step grows with C times ``latent · flow_units``
            and C times ``flow_hidden²``; the code behind the adaptive batch selection paper has 256 and 16, and half as
            many latent dimensions as features.
        kwargs: Settings of ``FeatureModel``: ``features``, ``loss``, ``optimization``.
    """

    def __init__(
        self,
        label_space: LabelSpace | Sequence[str],
        *,
        latent: int = 32,
        dropout: float = 0.1,
        alpha: float = 2.0,
        gamma: float = 10.0,
        binary_features: bool = False,
        flow_hidden: int = 128,
        flow_units: int = 8,
        **kwargs: Any,
    ) -> None:
        super().__init__(label_space, **kwargs)
        self.latent, self.dropout, self.gamma = latent, dropout, gamma
        self.binary_features, self.flow_hidden, self.flow_units = binary_features, flow_hidden, flow_units
        self.loss_weight = alpha * len(self.label_space)

    def build_network(self, width: int, labels: Tensor) -> None:
        """Create both autoencoders, the map to codes, and the two densities."""
        count, latent = len(self.label_space), self.latent
        self.feature_encoder = rectifier_mlp([width, 256, 512, 256], dropout=self.dropout)
        self.label_encoder = rectifier_mlp([count, 512, 256], dropout=self.dropout)
        self.feature_normal, self.label_normal = nn.Linear(256, 2 * latent), nn.Linear(256, 2 * latent)
        self.feature_decoder = rectifier_mlp([latent, 256, 512, 256, width], plain_last=True)
        self.label_decoder = rectifier_mlp([latent, 256, 512, count], plain_last=True)
        self.to_code = rectifier_mlp([width + latent, 256, 256, latent], plain_last=True)
        self.positive = LabelFlow(count, latent, self.flow_hidden, self.flow_units)
        self.negative = LabelFlow(count, latent, self.flow_hidden, self.flow_units)

    def forward(self, batch: Batch) -> Tensor:
        """Compute logits ``(B, C)`` at the mean of z."""
        mean, _ = self.feature_normal(self.feature_encoder(batch["features"])).chunk(2, -1)
        return self._classify(self._code(batch["features"], mean))

    def outputs(self, batch: Batch) -> ModelOutput:
        """In training, sample z and add the terms of the two autoencoders."""
        if not self.training:
            return ModelOutput(self(batch))
        features, mask = batch["features"], batch["label_mask"]
        targets = batch["labels"] * mask
        mean, log_variance = self.feature_normal(self.feature_encoder(features)).chunk(2, -1)
        label_mean, label_log = self.label_normal(self.label_encoder(targets)).chunk(2, -1)
        latent = perturbed(mean, log_variance, torch.randn_like(mean))
        label_latent = perturbed(label_mean, label_log, torch.randn_like(label_mean))
        entries = F.binary_cross_entropy_with_logits(self.label_decoder(label_latent), targets, reduction="none") * mask
        label_error = len(self.label_space) * entries.sum(1) / mask.sum(1).float().mean().clamp(min=1e-12)
        divergence = normal_divergence(mean, log_variance, label_mean, label_log)
        codes = self._code(features, latent)
        terms = {
            "divergence": self.gamma * divergence,
            "label_autoencoder": self.gamma * label_error,
            "reconstruction": self._reconstruction_error(self.feature_decoder(codes), features),
        }
        return ModelOutput(self._classify(codes), terms)

    def _code(self, features: Tensor, latent: Tensor) -> Tensor:
        return self.to_code(torch.cat([features, latent], -1))

    def _classify(self, codes: Tensor) -> Tensor:
        return self.positive(codes) - self.negative(codes)

    def _reconstruction_error(self, decoded: Tensor, features: Tensor) -> Tensor:
        if self.binary_features:
            return F.binary_cross_entropy_with_logits(decoded, features, reduction="none").sum(1)
        return (decoded.float() - features).square().sum(1)
