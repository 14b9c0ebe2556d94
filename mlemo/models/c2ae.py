"""C2AE: label sets and features are encoded in a common latent space, from which the labels are decoded."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch_geometric.nn import MLP

from mlemo.batch import Batch, ModelOutput
from mlemo.labels import LabelSpace
from mlemo.losses import Loss
from mlemo.losses.pairwise_exponential import PairwiseExponentialLoss
from mlemo.models.base import Parts
from mlemo.models.feature_model import FeatureModel

__all__ = ["C2AE"]


class C2AE(FeatureModel):
    """Canonical correlated autoencoder (Yeh et al., AAAI 2017): ``logits = F_d(F_x(x))``.

    In training, with codes ``C_x = F_x(x)`` and ``C_e = F_e(y)``, both ``(B, K)``,

        objective = ‖C_x − C_e‖² / B + ½ (‖C_xᵀC_x − I‖² + ‖C_eᵀC_e − I‖²) / B + output_weight · loss(F_d(C_e), y)

    As in the authors' code the output loss uses ``F_d(F_e(y))`` only, and F_x is trained by the first two terms alone.
    The authors sum over the batch; here everything is divided by B, so that the loss is a mean like every loss of
    mlemo. Adam is invariant to this, except for the penalty: the authors' 10⁻³ ‖W‖² is a ``weight_decay`` of 2·10⁻³ / B
    here. The Gram terms are 0 for codes that are orthonormal *in the batch*, so their size depends on B, and they
    cannot be 0 for K > B. Labels that are not annotated are 0 in the input of F_e. The weights are initialized as by
    the authors; their penalty on the weights is the optimizer's ``weight_decay``.

    Args:
        label_space: The labels.
        loss: ``PairwiseExponentialLoss`` as published, unless another one is given.
        latent_ratio: K / C.
        hidden: Width of the hidden layers.
        output_weight: Weight of the output loss (1/α, with α = 2 in the authors' demonstration).
        kwargs: Settings of ``FeatureModel``: ``features``, ``optimization``.

    Raises:
        ValueError: ``latent_ratio`` is not positive.
    """

    default_parts: ClassVar[Parts] = {
        **FeatureModel.default_parts,
        "loss": partial(PairwiseExponentialLoss),
    }

    def __init__(
        self,
        label_space: LabelSpace | Sequence[str],
        loss: Loss | None = None,
        *,
        latent_ratio: float = 0.8,
        hidden: int = 512,
        output_weight: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(label_space, loss=loss, **kwargs)
        if not latent_ratio > 0:
            raise ValueError(f"model.latent_ratio must be positive, found {latent_ratio}")
        self.latent_ratio, self.hidden, self.loss_weight = latent_ratio, hidden, output_weight

    def build_network(self, width: int, labels: Tensor) -> None:
        """Create F_x, F_e and F_d."""
        count = len(self.label_space)
        latent = max(1, round(self.latent_ratio * count))
        hidden = self.hidden
        self.feature_encoder = _network([width, hidden, hidden, latent])
        self.label_encoder = _network([count, hidden, latent])
        self.decoder = _network([latent, hidden, count])

    def forward(self, batch: Batch) -> Tensor:
        """Compute logits ``(B, C)`` from the features alone."""
        return self.decoder(_code(self.feature_encoder(batch["features"])))

    def outputs(self, batch: Batch) -> ModelOutput:
        """In training, decode the codes of the labels and add the terms of the codes."""
        if not self.training:
            return ModelOutput(self(batch))
        codes = _code(self.feature_encoder(batch["features"]))
        label_codes = _code(self.label_encoder(batch["labels"] * batch["label_mask"]))
        with torch.no_grad():
            prediction = self.decoder(codes)
        terms = {
            "distance": (codes - label_codes).float().square().sum(1),
            "orthogonality": 0.5 * (_gram_distance(codes) + _gram_distance(label_codes)) / len(codes),
        }
        return ModelOutput(prediction, terms, loss_logits=self.decoder(label_codes))


def _network(widths: list[int]) -> nn.Module:
    network = MLP(widths, act="leaky_relu", act_kwargs={"negative_slope": 0.1}, norm=None)
    *hidden, last = network.lins
    for layer in hidden:
        nn.init.uniform_(layer.weight, -0.01, 0.01)
        nn.init.uniform_(layer.bias, 0, 0.1)
    nn.init.xavier_uniform_(last.weight, gain=4)  # a sigmoid follows
    nn.init.zeros_(last.bias)
    return network


def _code(values: Tensor) -> Tensor:
    return values.sigmoid() - 0.5


def _gram_distance(codes: Tensor) -> Tensor:
    """Compute ``‖CᵀC − I‖²`` in float32."""
    with torch.autocast(codes.device.type, enabled=False):
        codes = codes.float()
        return (codes.T @ codes - torch.eye(codes.shape[1], device=codes.device)).square().sum()
