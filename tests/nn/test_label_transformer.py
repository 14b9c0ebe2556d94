import math

import pytest
import torch
from torch import Tensor

from mlemo.nn.label_transformer import LabelTransformer, label_attention

LABELS, WIDTH = 3, 8


@pytest.fixture
def states() -> Tensor:
    return torch.randn(2, 5, WIDTH, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def mask() -> Tensor:
    return torch.tensor([[1] * 5, [1, 1, 0, 0, 0]])


def test_labels_know_of_each_other_and_layers_count() -> None:
    torch.manual_seed(0)
    module = LabelTransformer(LABELS, WIDTH, heads=2).eval()
    before = module()
    with torch.no_grad():
        module.embeddings[2] += 1
    changed = (module() - before).abs().amax(1)
    assert before.shape == (LABELS, WIDTH)
    assert (changed > 1e-4).all(), "every label's embedding moves with that of another one"
    plain = LabelTransformer(LABELS, WIDTH, layers=0, heads=2)
    assert torch.equal(plain(), plain.embeddings)


def test_two_layers_of_the_published_size_have_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        module = LabelTransformer(11, 768)
    count = sum(parameter.numel() for parameter in module.parameters())
    assert count == 2 * 3_153_152 + 11 * 768  # 6.31 M, what the paper's ablation of it saves


def test_affinities_by_loops() -> None:
    embeddings = torch.randn(LABELS, WIDTH, generator=torch.Generator().manual_seed(1))
    found = LabelTransformer.affinity(embeddings).exp()
    for i in range(LABELS):
        scores = [
            math.exp(sum(a * b for a, b in zip(embeddings[i].tolist(), embeddings[j].tolist())) / math.sqrt(WIDTH))
            for j in range(LABELS)
        ]
        assert found[i].tolist() == pytest.approx([score / sum(scores) for score in scores], rel=1e-5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(LabelTransformer.affinity(embeddings).exp(), found)


def test_label_aware_pooling_by_loops(states: Tensor, mask: Tensor) -> None:
    labels = torch.randn(LABELS, WIDTH, generator=torch.Generator().manual_seed(2))
    logits, weights = label_attention(labels, states, mask)
    for row in range(2):
        tokens = [token for token in range(5) if mask[row, token]]
        for c in range(LABELS):
            scores = [(labels[c] @ states[row, token]).item() / math.sqrt(WIDTH) for token in tokens]
            total = sum(math.exp(score) for score in scores)
            shares = [math.exp(score) / total for score in scores]
            assert weights[row, c, tokens].tolist() == pytest.approx(shares, rel=1e-5)
            view = sum((share * states[row, token] for share, token in zip(shares, tokens)), torch.zeros(WIDTH))
            assert logits[row, c].item() == pytest.approx((labels[c] @ view).item() / math.sqrt(WIDTH), rel=1e-4)
    garbage = states.masked_fill(mask[..., None] == 0, 1e4)
    assert torch.equal(label_attention(labels, garbage, mask)[0], logits)
    assert (weights[1, :, 2:] == 0).all()


def test_gradients_reach_the_label_embeddings(states: Tensor, mask: Tensor) -> None:
    module = LabelTransformer(LABELS, WIDTH, heads=2)
    label_attention(module(), states, mask)[0].sum().backward()
    for parameter in (module.embeddings, module.layers[0].linear1.weight, module.layers[1].linear2.weight):
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="label_heads must divide the encoder's width, found 3 heads and width 8"):
        LabelTransformer(LABELS, WIDTH, heads=3)
    with pytest.raises(ValueError, match=r"label_layers must be 0 or more .* found -1"):
        LabelTransformer(LABELS, WIDTH, layers=-1)
