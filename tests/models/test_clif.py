from typing import Any, ClassVar

import pytest
import torch

from mlemo.models import CLIF
from mlemo.nn.label_graph import conditional_adjacency

from .network_tester import Layers, NetworkTester, make_batch, names, table


class TestCLIF(NetworkTester):
    network = CLIF
    small: ClassVar[dict[str, Any]] = {"hidden": 64, "embedding": 16}
    entries = 64 * 374 * 512  # B × C × hidden
    layers: ClassVar = {
        "label_encoder.layers.0": Layers([7, 64, 128], slope=0.1, dropout=0.2, normalised=True),
        "label_encoder.layers.1": Layers([128, 64, 128], slope=0.1, dropout=0.2, normalised=True),
        "input_network": Layers([20, 512], slope=0.1, dropout=0.2),
        "output_network": Layers([512, 512], slope=0.1),
    }
    others: ClassVar = {"gate.weight": (512, 128), "head.weight": (7, 512)}

    def test_the_graph_starts_as_published(self) -> None:
        torch.manual_seed(0)
        model = CLIF(names(60))
        model.build(20, torch.eye(60))
        assert model.semantic_weight == 1e-3
        assert model.label_encoder.epsilon.tolist() == [0, 0]
        # noise in place of one vector a label
        assert abs(model.label_vectors.mean()) < 0.1
        assert model.label_vectors.std().item() == pytest.approx(1, abs=0.05)
        assert model.label_vectors.shape == (60, 60)

    def test_the_objective_is_the_formula(self) -> None:
        model, batch = self.build(dropout=0.0, semantic_weight=0.3).train(), make_batch()
        output = model.outputs(batch)
        graph = conditional_adjacency(table(50)[1])
        embeddings = model.label_encoder(model.label_vectors, graph)
        distance = 0.0
        for i, first in enumerate(embeddings):
            for j, second in enumerate(embeddings):
                cosine = (first @ second) / (first.norm() * second.norm())
                distance += (cosine.item() - graph[i, j].item() - (i == j)) ** 2
        assert output.terms["semantic"].item() == pytest.approx(0.3 * distance / 25, rel=1e-4)
        for k, embedding in enumerate(embeddings):
            gated = model.input_network(batch["features"]) * model.gate(embedding).sigmoid()
            own = model.output_network(gated)
            expected = own @ model.head.weight[k] + model.head.bias[k]
            assert torch.allclose(output.logits[:, k], expected, atol=1e-5)
        loss = torch.nn.functional.multilabel_soft_margin_loss(output.logits, batch["labels"])
        expected = output.terms["semantic"] + loss
        assert model.objective(batch, output).item() == pytest.approx(expected.item(), rel=1e-5)

    def test_the_graph_is_that_of_the_training_labels_and_saved(self) -> None:
        model = self.build()
        assert torch.equal(model.adjacency, conditional_adjacency(table(50)[1]))
        assert model.adjacency.any()
        assert {"adjacency", "label_vectors"} <= model.state_dict().keys()
        assert not {"adjacency", "label_vectors"} & dict(model.named_parameters()).keys()

    def test_without_the_graph_the_cosines_are_drawn_to_twice_the_identity(self) -> None:
        model, batch = self.build(label_graph=False, semantic_weight=1.0).train(), make_batch()
        embeddings = []
        model.label_encoder.register_forward_hook(lambda *parts: embeddings.append(parts[-1]))
        output = model.outputs(batch)
        normal = torch.nn.functional.normalize(embeddings[0], dim=1)
        expected = (normal @ normal.T - 2 * torch.eye(5)).square().mean()
        assert output.terms["semantic"].item() == pytest.approx(expected.item(), rel=1e-5)
        assert output.terms["semantic"] >= 1 / 5  # the diagonal, which no cosine can reach
        assert len(embeddings) == 1  # made once a batch

    def test_the_settings_reach_the_networks(self) -> None:
        model = self.build(input_layers=3, dropout=0.4)
        assert [layer.out_channels for layer in model.input_network.lins] == [64, 64, 64]
        assert model.input_network.dropout == [0.4] * 3
        assert [layer.out_channels for layer in model.label_encoder.layers[0].lins] == [8, 16]
