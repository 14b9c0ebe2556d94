"""A corpus as feature vectors."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from mlemo.batch import FeatureInput
from mlemo.data import Corpus
from mlemo.data.collate import FeatureCorpus, batched
from mlemo.labels import LabelSpace

SPACE = LabelSpace(("joy", "fear"))
LABELS = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
MASK = torch.tensor([[True, False], [True, True], [True, True]])
FEATURES = torch.arange(12.0).reshape(3, 4)


def tabular() -> Corpus:
    return Corpus(SPACE, LABELS, ["a", "b", "c"], features=FEATURES, mask=MASK)


def texts() -> Corpus:
    return Corpus(SPACE, LABELS, ["a", "b", "c"], texts=["one", "three", "eleven"], mask=MASK)


def refuse(texts: Sequence[str]) -> Tensor:
    raise AssertionError("nothing is to be made of texts")


@pytest.mark.parametrize("from_texts", [None, refuse])
def test_a_batch_of_a_tabular_corpus_is_its_rows(from_texts: object) -> None:
    dataset = batched(tabular(), FeatureInput(from_texts))
    assert isinstance(dataset, FeatureCorpus)
    assert len(dataset) == 3
    for rows in ([2, 0, 2], torch.tensor([2, 0, 2])):
        batch = dataset.__getitems__(rows)
        assert batch.keys() == {"features", "labels", "label_mask", "index"}
        assert torch.equal(batch["features"], FEATURES[[2, 0, 2]])
        assert torch.equal(batch["labels"], LABELS[[2, 0, 2]])
        assert torch.equal(batch["label_mask"], MASK[[2, 0, 2]])
        assert batch["index"].tolist() == [2, 0, 2]
    assert torch.equal(dataset[1]["features"], FEATURES[1:2])


def test_texts_are_made_vectors_once_in_single_precision() -> None:
    calls: list[list[str]] = []

    def lengths(texts: Sequence[str]) -> Tensor:
        calls.append(list(texts))
        return torch.tensor([[len(text)] for text in texts], dtype=torch.float64)

    dataset = batched(texts(), FeatureInput(lengths))
    assert dataset.__getitems__([1, 2])["features"].tolist() == [[5.0], [6.0]]
    assert dataset[0]["features"].dtype == torch.float32
    assert calls == [["one", "three", "eleven"]]


def test_batches_of_sparse_vectors_are_dense() -> None:
    sparse = FeatureCorpus(texts(), FeatureInput(lambda texts: (FEATURES.double() * (FEATURES % 2)).to_sparse()))
    assert sparse.features.is_sparse
    for rows in ([2, 0, 2], [0]):
        features = sparse.__getitems__(rows)["features"]
        assert not features.is_sparse
        assert torch.equal(features, (FEATURES * (FEATURES % 2))[rows])
        assert features.dtype == torch.float32
    entries = 6  # with two indices of 8 bytes and a value of 4
    assert sparse.nbytes == entries * 20 + LABELS.nbytes + MASK.nbytes
    assert sparse.to("cpu").features.is_sparse


def test_rows_have_one_length_so_that_batches_are_not_grouped() -> None:
    assert FeatureCorpus(tabular(), FeatureInput()).lengths.tolist() == [1, 1, 1]


def test_texts_without_a_way_to_vectors_are_refused() -> None:
    with pytest.raises(ValueError, match=r"set model\.features to what makes vectors of texts, such as FrozenEncoder"):
        batched(texts(), FeatureInput(None))


def test_a_batch_is_a_copy() -> None:
    corpus = tabular()
    dataset = FeatureCorpus(corpus, FeatureInput())
    dataset.__getitems__([0, 1])["features"].zero_()
    assert torch.equal(corpus.features, FEATURES)


def test_sparse_rows_are_gathered_by_several_threads_in_inference_mode() -> None:
    rows, width, per_row = 1500, 8000, 60  # enough for torch to divide the work
    generator = torch.Generator().manual_seed(0)
    places = torch.stack([
        torch.arange(rows).repeat_interleave(per_row), torch.randint(width, (rows * per_row,), generator=generator)
    ])  # fmt: skip
    sparse = torch.sparse_coo_tensor(places, torch.ones(rows * per_row), (rows, width), check_invariants=True)
    labels = torch.zeros(rows, len(SPACE))
    corpus = Corpus(SPACE, labels, list(map(str, range(rows))), texts=[""] * rows)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with torch.inference_mode():
            dataset = batched(corpus, FeatureInput(lambda _: sparse.coalesce()))
            batch = dataset.__getitems__(list(range(100, 164)))
    finally:
        torch.set_num_threads(threads)
    assert batch["features"].equal(sparse.to_dense()[100:164])
