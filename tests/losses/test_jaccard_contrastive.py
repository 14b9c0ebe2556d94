"""The contrastive loss over overlapping label sets, against loops over Python numbers."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from mlemo.losses import BinaryCrossEntropy, CompositeLoss, JaccardContrastiveLoss, jaccard_contrastive
from mlemo.losses.jaccard_contrastive import jaccard_similarity

from .tester import LossTester, Matrix


def problem(rows: int = 7, labels: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """Vectors, label sets (two of them empty), and a mask."""
    generator = torch.Generator().manual_seed(1)
    targets = (torch.rand(rows, labels, generator=generator) < 0.5).float()
    targets[:2] = 0
    mask = torch.rand(rows, labels, generator=generator) < 0.8
    return torch.randn(rows, 5, generator=generator), targets, mask


def jaccard(a: list[float], b: list[float], known: list[bool]) -> float:
    first = {label for label, (value, annotated) in enumerate(zip(a, known)) if value and annotated}
    second = {label for label, (value, annotated) in enumerate(zip(b, known)) if value and annotated}
    if first | second:
        return len(first & second) / len(first | second)
    return float(any(known))


def reference(vectors: Tensor, targets: Tensor, mask: Tensor, temperature: float) -> float:
    rows, sets, known = vectors.double().tolist(), targets.tolist(), mask.tolist()

    def cosine(i: int, j: int) -> float:
        lengths = math.hypot(*rows[i]) * math.hypot(*rows[j])
        return sum(a * b for a, b in zip(rows[i], rows[j])) / lengths if lengths else 0.0

    losses = []
    for i in range(len(rows)):
        others = [j for j in range(len(rows)) if j != i]
        weights = [jaccard(sets[i], sets[j], [a and b for a, b in zip(known[i], known[j])]) for j in others]
        if sum(weights):
            total = sum(math.exp(cosine(i, k) / temperature) for k in others)
            logs = [cosine(i, j) / temperature - math.log(total) for j in others]
            losses.append(-sum(w * log for w, log in zip(weights, logs)) / sum(weights))
    return sum(losses) / max(1, len(losses))


class TestJaccardContrastiveLoss(LossTester):
    """Of logits, where the model gives no vectors."""

    losses: ClassVar = {"defaults": JaccardContrastiveLoss, "warm": lambda: JaccardContrastiveLoss(1.0)}
    single_class = JaccardContrastiveLoss
    soft_targets = False
    grows_with_batch = True

    def reference(self, loss: Any, logits: Matrix, targets: Matrix, mask: list[list[bool]]) -> float:
        known = torch.tensor(mask)
        vectors = torch.tensor(logits, dtype=torch.float64) * known
        return reference(vectors, torch.tensor(targets), known, loss.temperature)


def test_the_vectors_of_a_classifier_reach_the_loss(
    classifier: Callable[..., Any], data: Callable[..., Any], unlogged: None
) -> None:
    model = classifier(loss=CompositeLoss({"bce": BinaryCrossEntropy(), "contrastive": JaccardContrastiveLoss()}))
    batch = data().dataset("train", model.eval().data_input).__getitems__([3, 5, 8, 9, 11])
    vectors = model.outputs(batch).context["embeddings"]
    assert torch.equal(model.head(vectors), model(batch))
    found = model.training_step(batch, 0)["components"]["contrastive"]
    assert found.item() == pytest.approx(reference(vectors, batch["labels"], batch["label_mask"], 0.1), rel=1e-5)
    with pytest.raises(ValueError, match="temperature must be positive, found 0"):
        JaccardContrastiveLoss(0)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize("masked", [False, True])
def test_values(temperature: float, masked: bool) -> None:
    vectors, targets, mask = problem()
    given = mask if masked else None
    value = jaccard_contrastive(vectors, targets, given, temperature)
    expected = reference(vectors, targets, mask if masked else torch.ones_like(mask), temperature)
    assert value.item() == pytest.approx(expected, rel=1e-5)


def test_similarity_of_label_sets() -> None:
    targets = torch.tensor([[1.0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0]])
    mask = torch.ones(5, 4, dtype=torch.bool)
    expected = [[1, 1 / 3, 0, 0, 1], [1 / 3, 1, 0, 0, 1 / 3], [0, 0, 1, 1, 0], [0, 0, 1, 1, 0], [1, 1 / 3, 0, 0, 1]]
    torch.testing.assert_close(jaccard_similarity(targets, mask), torch.tensor(expected))
    mask[3] = False  # nothing is known of this row
    assert not jaccard_similarity(targets, mask)[3].any()


def test_with_one_label_per_row_it_is_the_loss_of_khosla() -> None:
    vectors, classes = problem()[0], torch.tensor([0, 1, 0, 2, 1, 0, 3])
    scores = torch.nn.functional.normalize(vectors, dim=1)
    scores = scores @ scores.T / 0.1
    losses = []
    for i in range(6):  # the last row has no other of its class
        others = [k for k in range(7) if k != i]
        same = [k for k in others if classes[k] == classes[i]]
        losses.append((torch.logsumexp(scores[i, others], 0) - scores[i, same]).mean())
    losses = [loss for i, loss in enumerate(losses) if (classes == classes[i]).sum() > 1]
    value = jaccard_contrastive(vectors, torch.nn.functional.one_hot(classes, 4).float())
    torch.testing.assert_close(value, torch.stack(losses).mean())


def test_a_step_draws_overlapping_sets_together() -> None:
    targets = torch.tensor([[1.0, 1, 0], [1, 1, 0], [1, 0, 1], [0, 0, 1]])
    vectors = torch.randn(4, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    optimizer = torch.optim.Adam([vectors], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        jaccard_contrastive(vectors, targets, temperature=0.5).backward()
        optimizer.step()
    found = torch.nn.functional.normalize(vectors.detach(), dim=1)
    found = found @ found.T
    assert found[0, 1] > found[0, 2] > found[0, 3]


def test_without_an_overlap_it_is_zero_with_a_gradient_of_zero() -> None:
    vectors = torch.randn(3, 4, requires_grad=True)
    value = jaccard_contrastive(vectors, torch.eye(3))
    value.backward()
    assert value == 0
    assert vectors.grad is not None
    assert not vectors.grad.any()
    assert jaccard_contrastive(torch.randn(1, 4), torch.ones(1, 2)) == 0


def test_mixed_precision_does_not_round_the_cosines() -> None:
    vectors, targets, mask = problem()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = jaccard_contrastive(vectors, targets, mask)
    assert torch.equal(mixed, jaccard_contrastive(vectors, targets, mask))


def test_a_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"mask has shape \(2, 2\), expected that of the targets, \(3, 2\)"):
        jaccard_contrastive(torch.randn(3, 4), torch.ones(3, 2), torch.ones(2, 2, dtype=torch.bool))
