import math
from itertools import product
from typing import Any, ClassVar

import pytest
import torch
from scipy.stats import norm
from torch.distributions import Normal, kl_divergence

from mlemo.losses import MeanSquaredError
from mlemo.models import MPVAE
from mlemo.models.mpvae import Probit, log_normal_cdf, negative_log_likelihood, normal_divergence

from .network_tester import Layers, NetworkTester, make_batch


class TestMPVAE(NetworkTester):
    network = MPVAE
    small: ClassVar[dict[str, Any]] = {"train_samples": 10, "latent": 8}
    planted: ClassVar[dict[str, Any]] = {"nll_weight": 10.0, "ranking_weight": 0.1}
    entries = 100 * 64 * 374  # samples × B × C
    layers: ClassVar = {
        "label_encoder": Layers([20 + 7, 512, 256], dropout=0.5),
        "feature_encoder": Layers([20, 256, 512, 256], dropout=0.5),
        "decoder": Layers([20 + 50, 256, 512]),
    }
    others: ClassVar = {
        "label_normal.weight": (2 * 50, 256), "feature_normal.weight": (2 * 50, 256),
        "label_head.weight": (7, 512), "feature_head.weight": (7, 512), "probit.factor": (7, 7),
    }  # fmt: skip
    he = False

    def test_the_default_weights(self) -> None:
        model = self.default()
        assert (model.nll_weight, model.ranking_weight, model.kl_weight) == (0.1, 200.0, 1.1)
        assert (model.train_samples, model.sample_prediction) == (100, False)

    @pytest.mark.parametrize("masked", [False, True])
    def test_the_objective_is_the_formula(self, masked: bool) -> None:
        model, batch = self.build(dropout=0.0, train_samples=3).train(), make_batch(masked=masked)
        torch.manual_seed(7)
        output = model.outputs(batch)
        # the same numbers are drawn again: the noise of z, then that of the probit, shared by the branches
        torch.manual_seed(7)
        noise = torch.randn(6, 8)
        draws = torch.randn(3, 6, 5)
        features, labels = batch["features"], batch["labels"]
        branches = {
            "label": model.label_normal(model.label_encoder(torch.cat([features, labels], 1))),
            "feature": model.feature_normal(model.feature_encoder(features)),
        }
        for name, normal in branches.items():
            latent = normal[:, :8] + noise * (normal[:, 8:] / 2).exp()
            means = getattr(model, f"{name}_head")(model.decoder(torch.cat([features, latent], 1)))
            nll, ranking = [], []
            for i in range(6):
                likelihoods = []
                ranking.append(0.0)
                for s in range(3):
                    scores = [
                        norm.cdf(means[i, j].item() + (model.probit.factor[j] @ draws[s, i]).item()) for j in range(5)
                    ]
                    known = [j for j in range(5) if batch["label_mask"][i, j]]
                    on, off = [j for j in known if labels[i, j]], [j for j in known if not labels[i, j]]
                    likelihoods.append(math.prod([scores[j] for j in on] + [1 - scores[j] for j in off]))
                    if on and off:
                        pairs = sum(math.exp(-5 * (scores[p] - scores[n])) for p, n in product(on, off))
                        ranking[i] += 200 * pairs / (5 * len(on) * len(off)) / 3
                nll.append(-0.1 * math.log(sum(likelihoods) / 3))
            assert output.terms[f"{name}_nll"].tolist() == pytest.approx(nll, rel=1e-4)
            assert output.terms[f"{name}_ranking"].tolist() == pytest.approx(ranking, rel=1e-4)
        losses = [sum(values) for values in zip(*(term.tolist() for term in output.terms.values()))]
        assert model.sample_losses(batch, output).tolist() == pytest.approx(losses)
        assert model.objective(batch, output).item() == pytest.approx(sum(losses) / 6)
        assert list(output.terms) == ["kl", "label_nll", "label_ranking", "feature_nll", "feature_ranking"]

    def test_the_divergence_is_that_of_the_label_branch_from_the_feature_branch(self) -> None:
        model, batch = self.build(dropout=0.0).train(), make_batch()
        output = model.outputs(batch)
        joined = torch.cat([batch["features"], batch["labels"]], 1)
        of_labels = model.label_normal(model.label_encoder(joined)).chunk(2, -1)
        of_features = model.feature_normal(model.feature_encoder(batch["features"])).chunk(2, -1)
        first, second = (Normal(mean, (log / 2).exp()) for mean, log in (of_labels, of_features))
        assert torch.allclose(output.terms["kl"], 1.1 * kl_divergence(first, second).sum(1))

    def test_the_logits_are_those_of_the_marginals(self) -> None:
        model, batch = self.build().eval(), make_batch()
        with torch.no_grad():
            mean = model.feature_normal(model.feature_encoder(batch["features"]))[:, :8]
            means = model.feature_head(model.decoder(torch.cat([batch["features"], mean], 1)))
            covariance = torch.eye(5) + model.probit.factor @ model.probit.factor.T
            drawn = means[:, None] + torch.randn(6, 40_000, 5) @ torch.linalg.cholesky(covariance).T
            frequency = (drawn > 0).float().mean(1)
            assert torch.allclose(model(batch).sigmoid(), frequency, atol=5 * 0.5 / math.sqrt(40_000))

    def test_prediction_can_be_drawn(self) -> None:
        model, batch = self.build(sample_prediction=True).eval(), make_batch()
        assert not torch.equal(model(batch), model(batch))

    def test_another_loss_replaces_likelihood_and_ranking_in_both_branches(self) -> None:
        model, batch = self.build(loss=MeanSquaredError()), make_batch()
        output = model.train().outputs(batch)
        assert list(output.terms) == ["kl", "label_branch"]
        assert {"label_head.weight", "feature_head.weight", "probit.factor"} <= self.step(model, batch).keys()


def test_the_covariance_starts_as_published() -> None:
    torch.manual_seed(0)
    factor = Probit(60, rank=40).factor
    bound = math.sqrt(6 / 100)
    assert -bound <= factor.min() < -0.99 * bound < 0.99 * bound < factor.max() <= bound
    assert factor.mean().abs() < 0.03 * bound


def test_the_marginals_agree_with_sampling() -> None:
    torch.manual_seed(0)
    probit = Probit(4, rank=4)
    with torch.no_grad():
        probit.factor *= 2
        means = torch.tensor([[-2.0, -0.5, 0.3, 1.5]])
        sampled = torch.special.ndtr(means + probit.deviations(torch.randn(200_000, 1, 4)))
        error = sampled.std(0) / math.sqrt(200_000)
        assert torch.all((probit.marginal_logits(means).sigmoid() - sampled.mean(0)).abs() < 5 * error)
        # far out, where a probability is 0 or 1 in float32, its logit is not
        assert torch.allclose(probit.marginal_logits(30 * means), -probit.marginal_logits(-30 * means), rtol=1e-5)
        assert probit.marginal_logits(1e3 * means).isfinite().all()


def test_the_logarithm_of_the_normal_distribution_is_right_in_its_tails_and_so_is_its_slope() -> None:
    values = torch.linspace(-40, 12, 5201).requires_grad_()
    exact = values.detach().double().requires_grad_()
    expected = torch.special.log_ndtr(exact)
    assert torch.allclose(expected, torch.from_numpy(norm.logcdf(exact.detach().numpy())), rtol=1e-12)
    assert torch.allclose(log_normal_cdf(values).double(), expected, rtol=1e-6, atol=2e-7)
    (slope,) = torch.autograd.grad(log_normal_cdf(values).sum(), values)
    (expected_slope,) = torch.autograd.grad(expected.sum(), exact)
    assert torch.allclose(slope.double(), expected_slope, rtol=1e-3, atol=1e-6)


def test_the_likelihoods_of_all_label_sets_sum_to_one() -> None:
    torch.manual_seed(0)
    samples = 2 * torch.randn(7, 1, 4, dtype=torch.float64)
    sets = torch.tensor(list(product((0.0, 1.0), repeat=4)), dtype=torch.float64)
    values = negative_log_likelihood(samples.expand(-1, 16, -1), sets, torch.ones(16, 4, dtype=torch.bool))
    assert (-values).exp().sum().item() == pytest.approx(1)
    # a label that is not annotated is summed out
    mask = torch.tensor([[True, True, True, False]]).expand(16, -1)
    values = negative_log_likelihood(samples.expand(-1, 16, -1), sets, mask)
    assert (-values).exp().sum().item() == pytest.approx(2)


def test_the_divergence_of_normals() -> None:
    torch.manual_seed(0)
    values = [torch.randn(6, 3) for _ in range(4)]
    first, second = (Normal(mean, (log / 2).exp()) for mean, log in (values[:2], values[2:]))
    assert torch.allclose(normal_divergence(*values), kl_divergence(first, second).sum(1), atol=1e-5)
    assert torch.allclose(normal_divergence(*values[:2], *values[:2]), torch.zeros(6), atol=1e-6)
