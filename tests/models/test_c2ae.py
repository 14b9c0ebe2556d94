import math
from typing import Any, ClassVar

import pytest
import torch

from mlemo.losses import PairwiseExponentialLoss
from mlemo.models import C2AE

from .network_tester import Layers, NetworkTester, make_batch, names


class TestC2AE(NetworkTester):
    network = C2AE
    small: ClassVar[dict[str, Any]] = {"hidden": 64}
    epochs = 120
    planted: ClassVar[dict[str, Any]] = {"hidden": 256, "latent_ratio": 1.0}  # independent labels leave nothing to save
    entries = 512 * 512
    layers: ClassVar = {
        "feature_encoder": Layers([20, 512, 512, 6], slope=0.1, linear_output=True),
        "label_encoder": Layers([7, 512, 6], slope=0.1, linear_output=True),
        "decoder": Layers([6, 512, 7], slope=0.1, linear_output=True),
    }
    he = False  # but as `test_the_weights_start_as_published` has it

    def test_the_terms_are_the_formulas(self) -> None:
        model, batch = self.build().train(), make_batch()
        output = model.outputs(batch)
        codes = (model.feature_encoder(batch["features"]).sigmoid() - 0.5).tolist()
        label_codes = (model.label_encoder(batch["labels"]).sigmoid() - 0.5).tolist()
        size, latent = len(codes), len(codes[0])
        distances = [sum((codes[i][k] - label_codes[i][k]) ** 2 for k in range(latent)) for i in range(size)]
        gram = 0.0
        for side in (codes, label_codes):
            for k in range(latent):
                for m in range(latent):
                    gram += (sum(row[k] * row[m] for row in side) - (k == m)) ** 2
        assert output.terms["distance"].tolist() == pytest.approx(distances, rel=1e-5)
        assert output.terms["orthogonality"].item() == pytest.approx(0.5 * gram / size, rel=1e-5)
        assert set(output.terms) == {"distance", "orthogonality"}
        losses = PairwiseExponentialLoss(5.0).per_sample(output.loss_logits, batch["labels"]).tolist()
        samples = [distance + 0.5 * loss for distance, loss in zip(distances, losses)]
        assert model.sample_losses(batch, output).tolist() == pytest.approx(samples, rel=1e-5)
        expected = (sum(samples) + 0.5 * gram) / size
        assert model.objective(batch, output).item() == pytest.approx(expected, rel=1e-5)

    def test_the_loss_sees_the_codes_of_the_labels_and_the_prediction_those_of_the_features(self) -> None:
        model, batch = self.build().train(), make_batch()
        output = model.outputs(batch)
        label_codes = model.label_encoder(batch["labels"]).sigmoid() - 0.5
        assert torch.equal(output.loss_logits, model.decoder(label_codes))
        assert torch.equal(output.logits, model(batch))
        assert not output.logits.requires_grad

    def test_the_feature_encoder_learns_from_the_embedding_alone(self) -> None:
        model, batch = self.build().train(), make_batch()
        output = model.outputs(batch)
        parameters = dict(model.named_parameters())
        loss = model.loss(output.loss_logits, batch["labels"], batch["label_mask"])
        embedding = output.terms["distance"].mean() + output.terms["orthogonality"]

        def reached(value: torch.Tensor) -> set[str]:
            gradients = torch.autograd.grad(value, list(parameters.values()), allow_unused=True, retain_graph=True)
            return {name.split(".")[0] for name, gradient in zip(parameters, gradients) if gradient is not None}

        assert reached(loss) == {"label_encoder", "decoder"}
        assert reached(embedding) == {"feature_encoder", "label_encoder"}
        assert reached(output.terms["distance"].mean()) == {"feature_encoder", "label_encoder"}

    def test_the_default_weights(self) -> None:
        model = self.default()
        assert isinstance(model.loss, PairwiseExponentialLoss)
        assert (model.loss.scale, model.loss_weight, model.latent_ratio) == (5.0, 0.5, 0.8)

    @pytest.mark.parametrize(("labels", "ratio", "latent"), [(38, 0.8, 30), (5, 0.8, 4), (1, 0.3, 1), (10, 0.25, 2)])
    def test_the_latent_dimension(self, labels: int, ratio: float, latent: int) -> None:
        model = C2AE(names(labels), latent_ratio=ratio)
        model.build(3)
        assert model.decoder.lins[0].in_channels == latent

    def test_the_weights_start_as_published(self) -> None:
        model = C2AE(names(30))
        model.build(20)
        for network in (model.feature_encoder, model.label_encoder, model.decoder):
            *hidden, last = network.lins
            for layer in hidden:
                assert layer.weight.abs().max().item() == pytest.approx(0.01, rel=0.01)
                assert 0 <= layer.bias.min() < 0.01 < 0.09 < layer.bias.max() <= 0.1
            bound = 4 * math.sqrt(6 / sum(last.weight.shape))
            assert last.weight.abs().max().item() == pytest.approx(bound, rel=0.01)
            assert not last.bias.any()


def test_an_impossible_latent_ratio_is_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.latent_ratio must be positive, found 0"):
        C2AE(names(3), latent_ratio=0)
