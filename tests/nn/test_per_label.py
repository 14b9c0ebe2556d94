import pytest
import torch

from mlemo.nn.per_label import PerLabelLinear


def test_every_label_has_a_unit_of_its_own() -> None:
    torch.manual_seed(0)
    head = PerLabelLinear(3, 4)
    with torch.no_grad():
        head.bias.uniform_(-1, 1)
    features = torch.randn(5, 3, 4)
    logits = head(features)
    for row in range(5):
        for label in range(3):
            expected = sum(features[row, label, d] * head.weight[label, d] for d in range(4)) + head.bias[label]
            assert logits[row, label].item() == pytest.approx(expected.item(), abs=1e-6)


def test_labels_may_share_features() -> None:
    head, shared = PerLabelLinear(3, 4), torch.randn(5, 1, 4)
    assert torch.allclose(head(shared), head(shared.expand(5, 3, 4)), atol=1e-6)
