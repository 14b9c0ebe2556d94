from collections.abc import Callable
from typing import Any

import pytest
import torch

from mlemo.data import Corpus, TokenizedCorpus

Maker = Callable[..., Any]
ROWS = [5, 0, 22, 13]


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_logits_by_hand(pooling: str, classifier: Maker, corpus: Corpus) -> None:
    model = classifier(pooling=pooling).eval()
    batch = TokenizedCorpus(corpus, model.data_input).__getitems__(ROWS)
    logits = model(batch)
    assert logits.shape == (4, 5)
    for place, row in enumerate(ROWS):
        encoded = model.tokenizer(corpus.texts[row], return_tensors="pt", return_token_type_ids=False)
        states = model.encoder(**encoded).last_hidden_state[0]
        vector = {"mean": states.mean(0), "cls": states[0], "max": states.amax(0)}[pooling]
        expected = model.head.weight @ vector + model.head.bias
        torch.testing.assert_close(logits[place], expected, atol=1e-5, rtol=0)


def test_dropout_before_the_head(classifier: Maker, corpus: Corpus) -> None:
    model = classifier(dropout=0.5).train()
    model.encoder.eval()
    batch = TokenizedCorpus(corpus, model.data_input).__getitems__(ROWS)
    assert not torch.equal(model(batch), model(batch))
    assert torch.equal(model.eval()(batch), model(batch))


@pytest.mark.usefixtures("unlogged")
def test_every_parameter_gets_a_gradient(classifier: Maker, corpus: Corpus) -> None:
    """Training with several processes refuses parameters that take no part."""
    model = classifier()
    batch = TokenizedCorpus(corpus, model.data_input).__getitems__(ROWS)
    model.training_step(batch, 0)["loss"].backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
