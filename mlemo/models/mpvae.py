"""MPVAE: a variational autoencoder of label sets, aligned with one of features, under a multivariate probit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.special import log_ndtr
from torch_geometric.nn import MLP

from mlemo.batch import Batch, ModelOutput
from mlemo.labels import LabelSpace
from mlemo.losses import BinaryCrossEntropy, Loss
from mlemo.losses.pairwise_exponential import pairwise_exponential
from mlemo.models.base import Parts
from mlemo.models.feature_model import FeatureModel

__all__ = ["MPVAE", "Probit"]

RANKING_SCALE = 5.0


class Probit(nn.Module):
    """A multivariate probit with covariance ``Σ = I + V Vᵀ``: label j is 1 where ``m_j + V_j n + ε_j > 0``.

    n and ε are standard normal; given n the labels are independent, with ``P(y_j = 1 | n) = Φ(m_j + V_j n)``.

    Args:
        labels: C.
        rank: Number of columns of V.
    """

    undecayed = ("factor",)  #: a covariance is not a weight of a layer

    def __init__(self, labels: int, rank: int) -> None:
        super().__init__()
        bound = math.sqrt(6 / (labels + rank))
        self.factor = nn.Parameter(torch.empty(labels, rank).uniform_(-bound, bound))

    def marginal_logits(self, means: Tensor) -> Tensor:
        """Compute the logits of ``P(y_j = 1) = Φ(m_j / √Σ_jj)`` in closed form, ``(B, C)``."""
        scaled = means.float() / (1 + self.factor.float().square().sum(1)).sqrt()
        return log_ndtr(scaled) - log_ndtr(-scaled)

    def deviations(self, noise: Tensor) -> Tensor:
        """Compute ``V n`` for noise ``(S, B, rank)``, the deviation of samples from their means: ``(S, B, C)``."""
        return noise @ self.factor.float().T


class MPVAE(FeatureModel):
    """Multivariate probit variational autoencoder (Bai et al., IJCAI 2020).

    A label branch q(z | x, y) and a feature branch q(z | x), each a normal in R^latent, are decoded by one network with
    two heads into the means m of a probit with a covariance shared by both. In training

        objective = nll_weight (NLL_y + NLL_x) + ranking_weight (R_y + R_x) + kl_weight KL(q(z|x,y) ‖ q(z|x))

    where ``NLL = −log 1/S Σ_s Π_j P(y_j | n_s)`` and R is the pairwise exponential loss of the samples' probabilities,
    averaged. The noises are shared by the branches. Prediction uses the feature branch at the mean of z and the
    marginals of the probit in closed form, so it is deterministic and exact; the authors sample both.

    With another loss, ``loss(logits_y, y) + loss(logits_x, y)`` of the marginals replaces NLL and R.

    Args:
        label_space: The labels.
        loss: ``None`` for the published objective.
        latent: Dimension of z.
        dropout: Dropout after every hidden layer of the encoders.
        train_samples: S, samples of the probit in training.
        sample_prediction: Sample z in prediction too, as the authors do.
        nll_weight: λ₁; 0.1 as in the authors' script, 10 in their settings for many sparse labels.
        ranking_weight: λ₂; 200 as in the authors' script, 10 to 40 in their settings for few labels, 0.1 for many.
            With a weight above that of the likelihood, labels are ranked well, but probabilities need a fitted
            threshold.
        kl_weight: Weight of the KL term.
        kwargs: Settings of ``FeatureModel``: ``features``, ``optimization``.
    """

    # without a loss the published objective is used, so there is no default loss
    default_parts: ClassVar[Parts] = {name: part for name, part in FeatureModel.default_parts.items() if name != "loss"}

    def __init__(
        self,
        label_space: LabelSpace | Sequence[str],
        loss: Loss | None = None,
        *,
        latent: int = 50,
        dropout: float = 0.5,
        train_samples: int = 100,
        sample_prediction: bool = False,
        nll_weight: float = 0.1,
        ranking_weight: float = 200.0,
        kl_weight: float = 1.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(label_space, loss=BinaryCrossEntropy() if loss is None else loss, **kwargs)
        self.published = loss is None
        self.latent, self.dropout, self.train_samples = latent, dropout, train_samples
        self.sample_prediction = sample_prediction
        self.nll_weight, self.ranking_weight, self.kl_weight = nll_weight, ranking_weight, kl_weight

    def build_network(self, width: int, labels: Tensor) -> None:
        """Create the two encoders, the shared decoder with its two heads, and the probit."""
        count, latent = len(self.label_space), self.latent
        options: dict[str, Any] = {"act": "relu", "norm": None, "plain_last": False}
        self.label_encoder = MLP([width + count, 512, 256], dropout=self.dropout, **options)
        self.feature_encoder = MLP([width, 256, 512, 256], dropout=self.dropout, **options)
        self.label_normal, self.feature_normal = nn.Linear(256, 2 * latent), nn.Linear(256, 2 * latent)
        self.decoder = MLP([width + latent, 256, 512], **options)
        self.label_head, self.feature_head = nn.Linear(512, count), nn.Linear(512, count)
        self.probit = Probit(count, rank=count)

    def forward(self, batch: Batch) -> Tensor:
        """Compute logits ``(B, C)`` of the marginals of the feature branch."""
        features = batch["features"]
        mean, log_variance = self.feature_normal(self.feature_encoder(features)).chunk(2, -1)
        latent = perturbed(mean, log_variance, torch.randn_like(mean)) if self.sample_prediction else mean
        return self.probit.marginal_logits(self._decode(self.feature_head, features, latent))

    def outputs(self, batch: Batch) -> ModelOutput:
        """In training, compute both branches and the terms of the objective."""
        if not self.training:
            return ModelOutput(self(batch))
        features, mask = batch["features"], batch["label_mask"]
        targets = batch["labels"] * mask
        label_mean, label_log = self.label_normal(self.label_encoder(torch.cat([features, targets], -1))).chunk(2, -1)
        mean, log_variance = self.feature_normal(self.feature_encoder(features)).chunk(2, -1)
        noise = torch.randn_like(mean)
        label_means = self._decode(self.label_head, features, perturbed(label_mean, label_log, noise))
        means = self._decode(self.feature_head, features, perturbed(mean, log_variance, noise))
        logits = self.probit.marginal_logits(means)
        terms = {"kl": self.kl_weight * normal_divergence(label_mean, label_log, mean, log_variance)}
        if not self.published:
            terms["label_branch"] = self.loss(self.probit.marginal_logits(label_means), batch["labels"], mask)
            return ModelOutput(logits, terms)
        draws = torch.randn(self.train_samples, len(features), self.probit.factor.shape[1], device=features.device)
        deviations = self.probit.deviations(draws)
        for name, branch in (("label", label_means), ("feature", means)):
            samples = branch.float() + deviations
            terms[f"{name}_nll"] = self.nll_weight * negative_log_likelihood(samples, targets, mask)
            ranking = pairwise_exponential(torch.special.ndtr(samples), targets, mask, RANKING_SCALE)
            terms[f"{name}_ranking"] = self.ranking_weight * ranking.mean(0)
        return ModelOutput(logits, terms)

    def objective(self, batch: Batch, output: ModelOutput) -> Tensor:
        """Compute the sum of the published terms, or a loss of the user with the KL term."""
        if self.published and self.training:
            return torch.stack(list(output.terms.values())).sum(0).mean()
        return super().objective(batch, output)

    def sample_losses(self, batch: Batch, output: ModelOutput) -> Tensor | None:
        """Compute `objective` per sample."""
        if self.published and self.training:
            return output.of_samples().detach()
        return super().sample_losses(batch, output)

    def _decode(self, head: nn.Module, features: Tensor, latent: Tensor) -> Tensor:
        return head(self.decoder(torch.cat([features, latent], -1)))


def perturbed(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """Sample a diagonal normal from standard normal noise: all ``(B, D)``."""
    return mean + (0.5 * log_variance).exp() * noise


def log_normal_cdf(values: Tensor) -> Tensor:
    """``log Φ(x)``, by ``erfc``, and below −10, near its underflow, by its asymptotic series.

    There ``Φ(x) = φ(x)/|x| · (1 − 1/x² + 3/x⁴ − 15/x⁶ + 105/x⁸ − …)``, with a relative error below 10⁻⁷.
    ``torch.special.log_ndtr`` is slow on a CPU, and for a few values alone they would have to be found first, for
    which the host waits for the device.
    """
    body = (0.5 * torch.erfc(-math.sqrt(0.5) * values.clamp(min=-10))).log()
    low = values.clamp(max=-10)
    inverse = low.square().reciprocal()
    series = inverse * (-1 + inverse * (3 + inverse * (-15 + inverse * 105)))
    tail = -0.5 * low.square() - 0.5 * math.log(2 * math.pi) - (-low).log() + series.log1p()
    return torch.where(values < -10, tail, body)


def negative_log_likelihood(samples: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Compute ``−log mean_s Π_j Φ(±s_j)`` over the annotated labels, ``(B,)``, from samples ``(S, B, C)``."""
    likelihood = log_normal_cdf(torch.where(targets > 0, samples, -samples)) * mask
    return math.log(len(samples)) - likelihood.sum(-1).logsumexp(0)


def normal_divergence(mean: Tensor, log_variance: Tensor, other_mean: Tensor, other_log_variance: Tensor) -> Tensor:
    """Compute ``KL(N(μ₁, σ₁²) ‖ N(μ₂, σ₂²))`` of diagonal normals, summed over dimensions, ``(B,)``."""
    mean, log_variance, other_mean, other_log_variance = (
        value.float() for value in (mean, log_variance, other_mean, other_log_variance)
    )
    ratio = (log_variance - other_log_variance).exp()
    distance = (mean - other_mean).square() * (-other_log_variance).exp()
    return 0.5 * (ratio + distance - 1 - log_variance + other_log_variance).sum(-1)
