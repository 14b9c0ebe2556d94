"""Whether linked texts share labels."""

from __future__ import annotations

import pytest
import torch

from mlemo.data import Corpus
from mlemo.labels import LabelSpace
from mlemo.models import GTHLEmo
from mlemo.nn.encoder import FromScratch
from mlemo.reporting.explanations.links import label_similarity_of_links
from mlemo.reporting.explanations.neighbors import embeddings

SPACE = LabelSpace(("joy", "anger", "fear"))
WORDS = ["a", "good", "day", "in", "the", "old", "house", "by", "the", "sea", "and", "nothing", "else", "to", "say"]


def made(**settings: object) -> tuple[GTHLEmo, Corpus]:
    torch.manual_seed(0)
    texts = [" ".join(WORDS[row % 5 : row % 7 + 5]) for row in range(23)]
    labels = (torch.rand(23, 3, generator=torch.Generator().manual_seed(1)) < 0.4).float()
    mask = torch.rand(23, 3, generator=torch.Generator().manual_seed(2)) < 0.9
    source = FromScratch(layers=1, width=32, heads=2, vocabulary=60, max_positions=32)
    model = GTHLEmo(SPACE, source, top_k=None, label_heads=2, neighbors=2, **settings)  # type: ignore[arg-type]
    model.build(lambda: texts)
    return model.eval(), Corpus(SPACE, labels * mask, [str(row) for row in range(23)], texts, mask=mask)


def jaccard(corpus: Corpus, first: int, second: int) -> float:
    both = corpus.mask[first] & corpus.mask[second]
    a, b = ((corpus.labels[row].bool() & both).tolist() for row in (first, second))
    union = sum(x or y for x, y in zip(a, b))
    return sum(x and y for x, y in zip(a, b)) / union if union else 1.0


def test_the_means_are_those_of_loops() -> None:
    model, corpus = made(graph="knn")
    found = label_similarity_of_links(model, corpus, batch_size=8, seed=3).set_index("linked as in")
    order = torch.randperm(23, generator=torch.Generator().manual_seed(3)).tolist()
    vectors = embeddings(model, corpus)
    linked, pairs = [], []
    for batch in (order[:8], order[8:16], order[16:]):
        for one in batch:
            others = [row for row in batch if row != one]
            pairs += [jaccard(corpus, one, row) for row in others]
            cosine = {row: torch.cosine_similarity(vectors[one], vectors[row], dim=0).item() for row in others}
            nearest = sorted(others, key=cosine.__getitem__, reverse=True)[:2]
            linked += [jaccard(corpus, one, row) for row in nearest]
    for name in ("evaluation", "training"):  # nearest neighbours do not look at labels
        assert found.loc[name, "neighbours of a text"] == 2
        assert found.loc[name, "all pairs"] == pytest.approx(sum(pairs) / len(pairs))
        assert found.loc[name, "linked pairs"] == pytest.approx(sum(linked) / len(linked))


def test_a_graph_that_sees_labels_links_texts_that_share_them() -> None:
    model, corpus = made(graph="jaccard")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = label_similarity_of_links(model, corpus, batch_size=12).set_index("linked as in")
    assert found.loc["training", "linked pairs"] > found.loc["training", "all pairs"] + 0.2
    assert found.loc["training", "linked pairs"] > found.loc["evaluation", "linked pairs"]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_model_without_a_graph_is_refused() -> None:
    model, corpus = made(graph="none")
    with pytest.raises(ValueError, match="links need a GTHLEmo with a graph of batches, found a GTHLEmo without one"):
        label_similarity_of_links(model, corpus)
    model, corpus = made()
    with pytest.raises(ValueError, match="links need two texts, found 23, with most=1"):
        label_similarity_of_links(model, corpus, most=1)
