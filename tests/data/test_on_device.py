"""Corpora on a device. Without a GPU: every part moves (meta), and batches on the CPU are equal bit by bit."""

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mlemo.batch import FeatureInput, TextInput
from mlemo.data import Corpus
from mlemo.data.collate import BatchedCorpus, batched

ROWS = [5, 0, 22, 5, 13]
INPUTS: list[dict[str, Any] | None] = [
    {},
    {"prompt": "words_masks", "token_types": True},
    {"prompt": "words", "prompt_order": "free"},
    {"fixed_length": True},
    None,
]


@pytest.fixture(params=INPUTS)
def dataset(request: pytest.FixtureRequest, tokenizer: Any, corpus: Corpus) -> BatchedCorpus:
    if request.param is None:
        return batched(corpus, FeatureInput(lambda texts: torch.tensor([[float(len(text))] for text in texts])))
    return batched(corpus, TextInput(tokenizer, 100, **request.param))


def on(device: str, world_size: int = 1) -> Any:
    strategy = SimpleNamespace(root_device=torch.device(device))
    return SimpleNamespace(world_size=world_size, global_rank=0, strategy=strategy, accumulate_grad_batches=1)


def test_every_part_of_a_batch_is_made_on_the_device(dataset: BatchedCorpus) -> None:
    expected = dataset.__getitems__(ROWS)
    there = dataset.to("meta").__getitems__(ROWS)
    assert there.keys() == expected.keys()
    for name, tensor in there.items():
        assert tensor.device.type == "meta", name
        assert (tensor.shape, tensor.dtype) == (expected[name].shape, expected[name].dtype), name
    again = dataset.to("cpu").__getitems__(ROWS)
    assert all(torch.equal(again[name], tensor) for name, tensor in expected.items())
    assert dataset.labels.device.type == "cpu", "the corpus itself stays"


def test_lengths_stay_on_the_cpu(dataset: BatchedCorpus) -> None:
    moved = dataset.to("meta")
    assert moved.lengths.device.type == "cpu"
    assert moved.corpus is dataset.corpus


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_batches_on_a_gpu_are_equal(dataset: BatchedCorpus) -> None:
    expected, there = dataset.__getitems__(ROWS), dataset.to("cuda").__getitems__(ROWS)
    assert all(torch.equal(there[name].cpu(), tensor) for name, tensor in expected.items())


def test_loaders_place_a_split_once_where_it_is_wanted(data: Callable[..., Any], tokenizer: Any) -> None:
    for wanted, device in ((True, "meta"), ("auto", "meta"), (False, "cpu")):
        module = data(on_device=wanted, batch_size=4)
        module.trainer = on("meta")
        module.trainer.lightning_module = SimpleNamespace(data_input=TextInput(tokenizer, 64))
        loader, val = module.train_dataloader(), module.val_dataloader()
        assert next(iter(loader))["input_ids"].device.type == device
        assert next(iter(val))["labels"].device.type == device
        assert module.train_dataloader().dataset is loader.dataset
        assert module.dataset("train", TextInput(tokenizer, 64)).labels.device.type == "cpu"
    module = data(on_device=True)
    module.trainer = on("cpu")
    dataset = module.dataset("train", TextInput(tokenizer, 64))
    assert module.on_device.place("train", dataset, module.trainer) is dataset


@pytest.mark.parametrize(("wanted", "free", "fits"), [(True, 1.0, True), (True, 0.9, False), ("auto", 9.0, False)])
def test_what_does_not_fit_stays_with_a_line(
    data: Callable[..., Any],
    corpus: Corpus,
    tokenizer: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    wanted: Any,
    free: float,
    fits: bool,
) -> None:
    dataset = batched(corpus, TextInput(tokenizer, 64))
    assert dataset.nbytes >= 2 * dataset.lengths.sum() + 5 * corpus.mask.numel()
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free * dataset.nbytes, 0))
    monkeypatch.setattr(type(dataset), "to", lambda self, device: "there")
    with caplog.at_level(logging.WARNING):
        placed = data(on_device=wanted).on_device.place("train", dataset, on("cuda"))
    assert (placed == "there") == fits
    assert ("the train split stays in the memory of the machine: it takes 0.00 GB, and " in caplog.text) != fits
    assert ("10% of the free memory of cuda" in caplog.text) == (wanted == "auto")


def test_another_word_is_refused(data: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"data\.on_device must be true, false or auto, found 'gpu'"):
        data(on_device="gpu")
