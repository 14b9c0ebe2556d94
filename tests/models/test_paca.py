from typing import Any, ClassVar

import pytest
import torch
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

from mlemo.models import PACA
from mlemo.nn.label_flow import LabelFlow

from .network_tester import LargestTensor, Layers, NetworkTester, make_batch


class TestPACA(NetworkTester):
    network = PACA
    small: ClassVar[dict[str, Any]] = {"latent": 8, "flow_hidden": 32, "flow_units": 4}
    epochs = 40
    entries = 3 * 2**23  # the three parameters of as many units as are computed at a time
    layers: ClassVar = {
        "feature_encoder": Layers([20, 256, 512, 256], dropout=0.1),
        "label_encoder": Layers([7, 512, 256], dropout=0.1),
        "feature_decoder": Layers([32, 256, 512, 256, 20], linear_output=True),
        "label_decoder": Layers([32, 256, 512, 7], linear_output=True),
        "to_code": Layers([20 + 32, 256, 256, 32], linear_output=True),
    }
    others: ClassVar = {"feature_normal.weight": (2 * 32, 256), "label_normal.weight": (2 * 32, 256)} | {
        f"{flow}.{name}": shape
        for flow in ("positive", "negative")
        for name, shape in {
            "label_bias": (7, 128), "shift": (7, 32), "raw_scale": (7, 32), "first.weight": (128, 32),
            "second.weight": (32 * 3 * (128 // 32), 128), "parameters_of_units.weight": (3 * 8, 3 * (128 // 32)),
        }.items()
    }  # fmt: skip

    def test_the_default_weights(self) -> None:
        model = self.default()
        assert (model.loss_weight, model.gamma, model.binary_features) == (2.0 * 7, 10.0, False)

    def test_the_flows_start_as_maps_that_change_nothing_behind_the_units(self) -> None:
        for flow in (self.default().positive, self.default().negative):
            assert not flow.shift.any()
            assert torch.allclose(F.softplus(flow.raw_scale), torch.ones(7, 32))
            assert torch.allclose(F.softplus(flow.parameters_of_units.bias[:8]), torch.ones(8))

    @pytest.mark.parametrize("masked", [False, True])
    @pytest.mark.parametrize("binary", [False, True])
    def test_the_objective_is_the_formula(self, binary: bool, masked: bool) -> None:
        model = self.build(dropout=0.0, alpha=1.5, gamma=3.0, binary_features=binary).train()
        batch = make_batch(masked=masked)
        features, labels, mask = batch["features"].sigmoid(), batch["labels"], batch["label_mask"]
        batch["features"] = features
        torch.manual_seed(5)
        output = model.outputs(batch)
        torch.manual_seed(5)  # the same numbers are drawn again, for the features first
        normal = [Normal(m, (v / 2).exp()) for m, v in (
            model.feature_normal(model.feature_encoder(features)).chunk(2, -1),
            model.label_normal(model.label_encoder(labels)).chunk(2, -1),
        )]  # fmt: skip
        latent, label_latent = (part.loc + part.scale * torch.randn(6, 8) for part in normal)
        divergence = kl_divergence(*normal).sum(1)
        decoded = model.label_decoder(label_latent)
        label_error = 5 * F.binary_cross_entropy_with_logits(decoded[mask], labels[mask])
        codes = model.to_code(torch.cat([features, latent], 1))
        image = model.feature_decoder(codes)
        if binary:
            error = F.binary_cross_entropy_with_logits(image, features, reduction="none").sum(1)
        else:
            error = torch.stack([(image[i] - features[i]).square().sum() for i in range(6)])
        assert torch.allclose(output.terms["divergence"], 3 * divergence, rtol=1e-4)
        assert output.terms["label_autoencoder"].mean().item() == pytest.approx(3 * label_error.item(), rel=1e-4)
        assert torch.allclose(output.terms["reconstruction"], error, rtol=1e-4)
        # the softmax over the two densities, as two-class cross-entropy
        both = torch.stack([model.negative(codes), model.positive(codes)], 1)
        entries = F.cross_entropy(both, labels.long(), reduction="none")
        expected = 1.5 * 5 * entries[mask].mean() + sum(term.mean() for term in output.terms.values())
        assert model.objective(batch, output).item() == pytest.approx(expected.item(), rel=1e-4)

    def test_prediction_takes_the_mean(self) -> None:
        model, batch = self.build().eval(), make_batch()
        mean = model.feature_normal(model.feature_encoder(batch["features"]))[:, :8]
        codes = model.to_code(torch.cat([batch["features"], mean], 1))
        probabilities = torch.stack([model.negative(codes), model.positive(codes)]).softmax(0)[1]
        assert torch.allclose(model(batch).sigmoid(), probabilities, atol=1e-6)

    def test_the_classes_of_the_label_autoencoder_do_not_reach_the_prediction(self) -> None:
        model, batch = self.build().train(), make_batch()
        parameters = dict(model.named_parameters())
        logits = model.outputs(batch).logits.sum()
        gradients = torch.autograd.grad(logits, list(parameters.values()), allow_unused=True)
        reached = {name.split(".")[0] for name, gradient in zip(parameters, gradients) if gradient is not None}
        assert reached == {"feature_encoder", "feature_normal", "to_code", "positive", "negative"}


def test_the_densities_of_many_labels_are_computed_in_parts() -> None:
    flow, codes = LabelFlow(60, 8, hidden=16, units=4, entries=2**12), torch.randn(16, 8)
    with LargestTensor() as largest:
        flow(codes).sum().backward()
    # slopes, offsets and weights of 8 labels at a time; of all, there were 92,160 entries
    assert largest.entries == 3 * 2**12
    with LargestTensor() as largest, torch.no_grad():
        flow(codes)
    assert largest.entries == 3 * 2**12
