"""The compiled encoder: equal scores, few compilations, unchanged checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mlemo.callbacks import Compile
from mlemo.data import TokenizedCorpus
from mlemo.models import FeatureModel
from mlemo.nn.prompt_order import reorder_prompt


@pytest.fixture(autouse=True)
def untraced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pytest's handler of logs would have torch write down each of its steps."""
    monkeypatch.setattr(logging.getLogger("torch.__trace"), "disabled", True)


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Graphs that are handed to the backend."""
    found = []
    original = torch.compile

    def compile_and_note(function: Any, **settings: Any) -> Any:
        def backend(graph: Any, inputs: Any) -> Any:
            found.append(graph)
            return graph.forward

        return original(function, **settings | {"backend": backend})

    monkeypatch.setattr(torch, "compile", compile_and_note)
    torch._dynamo.reset()
    return found


def test_padding_changes_no_logits_and_compilations_are_as_few_as_padded_lengths(
    classifier: Callable[..., Any], corpus: Any, compilations: list[Any]
) -> None:
    model = classifier().eval()
    data = TokenizedCorpus(corpus, model.data_input)
    batches = [data.__getitems__([row, row + 1]) for row in range(12)]
    lengths = {batch["input_ids"].shape[1] for batch in batches}
    with torch.no_grad():
        expected = [model(dict(batch)) for batch in batches]
        names = list(model.state_dict())
        callback = Compile(dynamic=False, multiple=16)
        callback.on_test_start(None, model)
        for batch, logits in zip(batches, expected):
            callback.on_test_batch_start(None, model, batch, 0)
            torch.testing.assert_close(model(batch), logits, atol=1e-5, rtol=1e-5)
    assert list(model.state_dict()) == names
    padded = {batch["input_ids"].shape[1] for batch in batches}
    assert all(length % 16 == 0 for length in padded)
    assert len(compilations) == len(padded) < len(lengths)
    callback.teardown(None, model, "test")
    assert model.encoder._compiled_call_impl is None


def test_a_padded_prompt_can_be_shuffled(bert_wdl: Callable[..., Any], corpus: Any) -> None:
    model = bert_wdl().eval()
    data = TokenizedCorpus(corpus, model.data_input)
    order = torch.randperm(len(corpus.label_space)).expand(3, -1)
    expected = model(reorder_prompt(data.__getitems__([0, 1, 2]), order))
    batch = data.__getitems__([0, 1, 2])
    length = batch["input_ids"].shape[1]
    Compile(multiple=length + 3).on_train_batch_start(None, model, batch, 0)
    shuffled = reorder_prompt(batch, order)
    assert shuffled["input_ids"].shape[1] == length + 3
    torch.testing.assert_close(model(shuffled), expected, atol=1e-5, rtol=1e-5)


def test_no_batch_gets_longer_than_the_encoder_allows(classifier: Callable[..., Any], corpus: Any) -> None:
    model = classifier(max_length=21)
    batch = TokenizedCorpus(corpus, model.data_input).__getitems__([0, 1, 2])
    Compile(multiple=16).on_train_batch_start(None, model, batch, 0)
    assert batch["input_ids"].shape[1] in (16, 21)
    assert batch["input_ids"].shape == batch["attention_mask"].shape


def test_what_cannot_be_compiled_is_refused(classifier: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="multiple must be at least 1"):
        Compile(multiple=0)
    with pytest.raises(ValueError, match="FeatureModel has none"):
        Compile().setup(None, FeatureModel(["joy"]), "fit")
    model = classifier()
    model.prompt_order = "free"
    with pytest.raises(ValueError, match="order: free does not allow"):
        Compile().setup(SimpleNamespace(), model, "fit")
