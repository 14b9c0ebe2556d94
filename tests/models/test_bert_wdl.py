from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from lightning.pytorch import Callback
from torch import Tensor
from transformers import PreTrainedTokenizerBase, RobertaConfig, RobertaModel

from mlemo.batch import PromptLayout
from mlemo.callbacks import LabelShuffle
from mlemo.data import Corpus, TokenizedCorpus
from mlemo.models import BertWDL
from mlemo.nn.encoder import EncoderSource

Maker = Callable[..., Any]
LAYOUTS = get_args(PromptLayout)
SCOPES = ["none", "independent", "labels", "context"]
ROWS = [5, 0, 22, 13]


def tokenized(model: BertWDL, corpus: Corpus) -> TokenizedCorpus:
    return TokenizedCorpus(corpus, model.data_input)


def random_order(rows: int, labels: int, seed: int = 0) -> Tensor:
    return torch.rand(rows, labels, generator=torch.Generator().manual_seed(seed)).argsort(1)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_logits_by_hand(layout: str, scope: str, bert_wdl: Maker, corpus: Corpus) -> None:
    """Row by row, without padding: encode, take the state of each read-out, refine, map to a number."""
    model = bert_wdl(prompt=layout, san=scope).eval()
    logits = model(tokenized(model, corpus).__getitems__(ROWS))
    assert logits.shape == (4, 5)
    for place, row in enumerate(ROWS):
        batch = tokenized(model, corpus)[row]
        ids, positions = batch["input_ids"][0], batch["label_positions"][0].tolist()
        words = model.encoder.embeddings.word_embeddings(ids)
        if layout == "masks":
            for label, position in enumerate(positions):
                words[position] = words[position] + model.label_embedding.weight[label]
        types = torch.tensor([0] * ids.tolist().index(model.tokenizer.sep_token_id) + [0] + [1] * len(ids))[: len(ids)]
        states = model.encoder(inputs_embeds=words[None], token_type_ids=types[None]).last_hidden_state
        readouts = torch.stack([states[0, position] for position in positions])[None]
        if scope != "none":
            readouts = model.refiner(readouts, states, torch.ones(1, len(ids)))
        expected = torch.stack([model.head.weight[0] @ readout for readout in readouts[0]]) + model.head.bias
        torch.testing.assert_close(logits[place], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_logits_do_not_depend_on_the_order_but_for_the_encoders_positions(
    layout: str, scope: str, bert_wdl: Maker, corpus: Corpus
) -> None:
    model = bert_wdl(prompt=layout, san=scope).eval()
    with torch.no_grad():  # larger weights: with BERT's own, labels and places would hardly be told apart
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    dataset = tokenized(model, corpus)
    batch = dataset.__getitems__(ROWS)
    permuted = dataset.prompt.permute(batch, random_order(4, 5))
    with_positions = (model(permuted) - model(batch)).abs().max()
    assert with_positions > 1e-2
    model.encoder.embeddings.position_embeddings.weight.data.zero_()
    torch.testing.assert_close(model(permuted), model(batch), atol=1e-5, rtol=0)
    if layout != "words_masks":  # there the [MASK]s cannot be told apart without positions
        spread = model(batch).std(1)
        assert (spread > 1e-2).all(), "all labels have the same logit: the test shows nothing"


def test_the_head_is_one_map_for_all_labels(bert_wdl: Maker) -> None:
    model = bert_wdl()
    assert (model.head.in_features, model.head.out_features) == (32, 1)
    assert not hasattr(model, "label_embedding")
    assert bert_wdl(prompt="masks").label_embedding.weight.shape == (5, 32)


def test_the_refiner_is_as_asked(bert_wdl: Maker) -> None:
    assert bert_wdl(san="none").refiner is None
    refiner = bert_wdl(san="context", heads=8, dropout=0.3).refiner
    assert (refiner.scope, refiner.attention.num_heads, refiner.dropout.p) == ("context", 8, 0.3)
    assert bert_wdl().refiner.attention.num_heads == 2  # the encoder's number
    assert bert_wdl().refiner.scope == "labels"


@pytest.mark.usefixtures("unlogged")
@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_parameter_gets_a_gradient(layout: str, scope: str, bert_wdl: Maker, corpus: Corpus) -> None:
    """Training with several processes refuses parameters that take no part."""
    model = bert_wdl(prompt=layout, san=scope)
    model.training_step(tokenized(model, corpus).__getitems__(ROWS), 0)["loss"].backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_tokenizer_runs_in_a_training_step(
    layout: str, bert_wdl: Maker, data: Maker, trainer: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = bert_wdl(prompt=layout)
    steps: list[int] = []

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a tokenizer was called")

    class Guard(Callback):
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            for name in ("__call__", "encode", "tokenize", "convert_tokens_to_ids", "_encode_plus"):
                for kind in type(model.tokenizer).__mro__:
                    if issubclass(kind, PreTrainedTokenizerBase) and name in vars(kind):
                        monkeypatch.setattr(kind, name, refuse)
            with pytest.raises(AssertionError, match="a tokenizer was called"):
                model.tokenizer("a")

        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            steps.append(len(batch["index"]))

    run = trainer(callbacks=[LabelShuffle(k=2), Guard()], max_epochs=2, limit_val_batches=0)
    run.fit(model, datamodule=data(batch_size=8))
    assert sum(steps) == 2 * 2 * 23


# an encoder of another family -----------------------------------------------------------------------------------


class Roberta(EncoderSource):
    """A tiny RoBERTa with a given tokenizer: one segment type, positions counted from behind the padding id."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def tokenizer(self, texts: Any) -> Any:
        return self._tokenizer

    def encoder(self, tokenizer: Any) -> Any:
        config = RobertaConfig(
            vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
            max_position_embeddings=130, type_vocab_size=1, pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
        return RobertaModel(config, add_pooling_layer=False)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_roberta_gives_a_text_the_same_logits_alone_and_in_a_batch(
    layout: str, bert_wdl: Maker, roberta: Any, corpus: Corpus
) -> None:
    model = bert_wdl(encoder=Roberta(roberta), prompt=layout).eval()
    assert model.data_input.max_length == 128
    dataset = tokenized(model, corpus)
    batch = dataset.__getitems__(ROWS)
    assert "token_type_ids" not in batch
    together = model(batch)
    for place, row in enumerate(ROWS):
        torch.testing.assert_close(model(dataset[row])[0], together[place], atol=1e-5, rtol=0)
    if layout == "masks":  # the embeddings are given instead of ids: positions must come out the same
        model.label_embedding.weight.data.zero_()
        states = model.encoder(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
        readouts = torch.stack([states[row, batch["label_positions"][row]] for row in range(4)])
        expected = model.head(model.refiner(readouts, states, batch["attention_mask"])).squeeze(-1)
        torch.testing.assert_close(model(batch), expected, atol=1e-5, rtol=0)
