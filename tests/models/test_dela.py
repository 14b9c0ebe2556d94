import math
from typing import Any, ClassVar

import pytest
import torch
from torch.nn import functional as F

from mlemo.models import DELA
from mlemo.models.dela import noise_divergence

from .network_tester import WIDTH, Layers, NetworkTester, make_batch, names


class TestDELA(NetworkTester):
    network = DELA
    small: ClassVar[dict[str, Any]] = {"latent": 10}
    entries = 64 * 374 * 512  # B × C × last hidden layer
    layers: ClassVar = {
        "feature_encoder": Layers([20, 256, 512, 256]),
        "decoder": Layers([20 + 50, 256, 512]),
    }
    others: ClassVar = {
        "normal.weight": (2 * 50, 256), "head.weight": (7, 512),
        "gates.label_vectors": (7, 50), "gates.scale.weight": (50, 50),
    }  # fmt: skip

    def test_the_gates_start_as_published(self) -> None:
        model = self.default()
        assert (model.gates.temperature, model.gates.off_noise, model.beta) == (2 / 3, 0.5, 1e-3)
        assert model.gates.scale.bias.tolist() == [2] * 50
        assert -10 <= model.gates.label_vectors.min() < -9.5 < 9.5 < model.gates.label_vectors.max() <= 10

    def test_dropout_stands_behind_both_rectifiers_of_the_decoder(self) -> None:
        model = self.build(dropout=0.3, decoder_dropout=0.4)
        assert model.feature_encoder.dropout == [0.3] * 3
        kept: list[float] = []

        def note(module: Any, inputs: Any) -> None:
            kept.append((inputs[0] > 0).float().mean().item())

        model.decoder.lins[1].register_forward_pre_hook(note)
        model.head.register_forward_pre_hook(note)
        for mode in (True, False):
            model.train(mode)._decode(torch.ones(400, WIDTH), torch.zeros(400, 1, 10))
        # with noise from the first dropout, the second rectifier may let another part through
        assert kept[0] / kept[2] == pytest.approx(0.6, abs=0.02)
        assert kept[1] / kept[3] == pytest.approx(0.6, abs=0.06)

    def test_the_objective_is_the_formula(self) -> None:
        model, batch = self.build(beta=0.7).train(), make_batch()
        torch.manual_seed(3)
        output = model.outputs(batch)
        # the same numbers are drawn again: the gates of the batch, then one noise an instance for all labels
        torch.manual_seed(3)
        gates, noise = model.gates(), torch.randn(6, 10)
        latent, log_variance = model.normal(model.feature_encoder(batch["features"])).chunk(2, -1)
        for k in range(5):
            code = latent + gates[k] * (0.5 * log_variance).exp() * noise
            hidden = model.decoder(torch.cat([batch["features"], code], 1))
            expected = hidden @ model.head.weight[k] + model.head.bias[k]
            assert torch.allclose(output.logits[:, k], expected, atol=1e-5)
        divergence = 0.7 * noise_divergence(latent, log_variance, gates)
        assert torch.allclose(output.terms["divergence"], divergence)
        losses = 5 * F.multilabel_soft_margin_loss(output.logits, batch["labels"], reduction="none") + divergence
        assert torch.allclose(model.sample_losses(batch, output), losses)
        loss = losses.mean()
        assert model.objective(batch, output).item() == pytest.approx(loss.item(), rel=1e-5)

    def test_prediction_has_no_noise(self) -> None:
        model, batch = self.build().eval(), make_batch()
        latent = model.normal(model.feature_encoder(batch["features"]))[:, :10]
        hidden = model.decoder(torch.cat([batch["features"], latent], 1))
        assert torch.allclose(model(batch), hidden @ model.head.weight.T + model.head.bias, atol=1e-5)

    def test_the_decoder_has_a_dropout_of_its_own(self) -> None:
        model = self.build(decoder_dropout=0.5)
        model.gates.off_noise, model.normal.bias.data[10:] = 0.0, -100.0  # no other noise
        latent, batch = torch.zeros(6, 1, 10), make_batch()
        model.train()
        assert not torch.equal(model._decode(batch["features"], latent), model._decode(batch["features"], latent))
        model.eval()
        assert torch.equal(model._decode(batch["features"], latent), model._decode(batch["features"], latent))
        plain = self.build().train()
        assert torch.equal(plain._decode(batch["features"], latent), plain._decode(batch["features"], latent))


def test_the_divergence_is_the_formula() -> None:
    torch.manual_seed(0)
    latent, log_variance = torch.randn(2, 3, 4)
    gates = torch.where(torch.rand(5, 4) < 0.5, 1.0, 0.5)
    expected = []
    for z, v in zip(latent.tolist(), log_variance.tolist()):
        total = 0.0
        for s in gates.tolist():
            for d in range(4):
                total += 0.5 * (-v[d] - 2 * math.log(s[d] + 1e-6) - 1 + math.exp(v[d]) * s[d] ** 2 + z[d] ** 2)
        expected.append(total / 5)
    assert noise_divergence(latent, log_variance, gates).tolist() == pytest.approx(expected, rel=1e-5)


def test_a_gate_closed_to_zero_costs_the_floor_of_the_logarithm() -> None:
    zero = torch.zeros(1, 1)
    open_cost = noise_divergence(zero, zero, torch.ones(1, 1)).item()
    assert open_cost == pytest.approx(0, abs=1e-5)
    # 13.8 nats for the logarithm, and half a nat less for the variance
    assert noise_divergence(zero, zero, zero).item() == pytest.approx(-math.log(1e-6) - 0.5, rel=1e-5)


def test_a_noise_outside_its_range_is_refused() -> None:
    model = DELA(names(3), off_noise=1.5)
    with pytest.raises(ValueError, match=r"model\.off_noise must lie in \[0, 1\], found 1\.5"):
        model.build(4)
