"""Decoder language models of three families as encoders: what causal attention means for each text model."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import mlemo
from mlemo.cli import main
from mlemo.data import Corpus, SyntheticEmotions, TokenizedCorpus
from mlemo.labels import LabelSpace
from mlemo.models import BertWDL, GTHLEmo, TransformerClassifier
from mlemo.nn.encoder import FromScratch, Pretrained
from mlemo.nn.encoder_properties import is_causal
from mlemo.nn.frozen_encoder import FrozenEncoder
from mlemo.nn.prompt_order import reorder_prompt
from models.decoders import FAMILIES, decoder

Maker = Callable[..., Any]
TEXTS = ["we had such a good day", "they told me nothing at all then left in silence while it rained", "fear", ""]


@pytest.fixture(scope="session", params=list(FAMILIES))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny decoder language model."""
    texts = SyntheticEmotions(size=100).corpus("train").texts
    return decoder(request.param, tmp_path_factory.mktemp(request.param), texts)


def built(kind: Any, folder: Path, space: LabelSpace, **settings: Any) -> Any:
    torch.manual_seed(0)
    model = kind(space, str(folder), **settings)
    model.build()
    return model.eval()


def rows(model: Any, space: LabelSpace, texts: list[str] = TEXTS) -> TokenizedCorpus:
    corpus = Corpus(space, torch.zeros(len(texts), len(space)), [str(row) for row in range(len(texts))], texts)
    return TokenizedCorpus(corpus, model.data_input)


# what is causal -------------------------------------------------------------------------------------------------


def test_decoders_are_causal_and_encoders_are_not(folder: Path, source: FromScratch, corpus: Corpus) -> None:
    loaded = Pretrained(str(folder)).encoder(None)
    assert is_causal(loaded)
    assert loaded.training
    assert not is_causal(source.encoder(source.tokenizer(lambda: corpus.texts)))


# the plain classifier -------------------------------------------------------------------------------------------


@torch.no_grad()
def test_the_last_token_is_that_of_the_text_wherever_padding_is(folder: Path, corpus: Corpus) -> None:
    model = built(TransformerClassifier, folder, corpus.label_space, pooling="last")
    data = rows(model, corpus.label_space)
    together = model(data.__getitems__([0, 1, 2, 3]))
    for row, text in enumerate(TEXTS):
        torch.testing.assert_close(model(data.__getitems__([row]))[0], together[row], atol=2e-5, rtol=0)
        ids = model.tokenizer(text)["input_ids"]
        if not model.tokenizer("")["input_ids"]:  # Qwen: a text ends with the token for that
            ids.append(model.tokenizer.eos_token_id)
        states = model.encoder(torch.tensor([ids])).last_hidden_state
        torch.testing.assert_close(model.head(states[0, -1]), together[row], atol=2e-5, rtol=0)


def test_the_first_token_is_refused(folder: Path, corpus: Corpus) -> None:
    with pytest.raises(ValueError, match=r"model.pooling is 'cls'.*set model.pooling to last or mean"):
        built(TransformerClassifier, folder, corpus.label_space, pooling="cls")


# Bert-WDL -------------------------------------------------------------------------------------------------------


def test_the_prompt_is_behind_the_text(folder: Path, corpus: Corpus) -> None:
    space = corpus.label_space
    model = built(BertWDL, folder, space, prompt="words")
    data, tokenizer = rows(model, space), model.tokenizer
    batch = data.__getitems__([0, 1, 3])
    for row, text in enumerate([TEXTS[0], TEXTS[1], TEXTS[3]]):
        words = [tokenizer(f" {name.replace('_', ' ')}", add_special_tokens=False)["input_ids"] for name in space.names]
        line = tokenizer("\n", add_special_tokens=False)["input_ids"]
        of_prompt = [piece for word in words for piece in word]
        expected = tokenizer(text)["input_ids"] + line + of_prompt
        length = int(batch["attention_mask"][row].sum())
        assert batch["input_ids"][row, :length].tolist() == expected
        assert not batch["attention_mask"][row, length:].any()
        ends = torch.tensor([len(word) for word in words]).cumsum(0) - 1
        assert batch["label_positions"][row].tolist() == (len(expected) - len(of_prompt) + ends).tolist()
        before = [-1] * (len(expected) - len(of_prompt))
        of_labels = [label for label, word in enumerate(words) for _ in word]
        after = [len(space)] * (batch["input_ids"].shape[1] - length)
        assert batch["prompt_segments"][row].tolist() == before + of_labels + after


@torch.no_grad()
def test_a_label_depends_on_the_text_and_on_the_labels_before_it(folder: Path, corpus: Corpus) -> None:
    model = built(BertWDL, folder, corpus.label_space, prompt="words", san="none")
    count = len(corpus.label_space)
    batch = rows(model, corpus.label_space).__getitems__([0, 1])
    logits = model(batch)
    for cut in range(count):  # the labels from `cut` on in another order
        order = torch.tensor([*range(cut), *reversed(range(cut, count))]).expand(2, -1)
        other = model(reorder_prompt(batch, order))
        torch.testing.assert_close(other[:, :cut], logits[:, :cut], atol=2e-5, rtol=0)
        if cut < count - 1:
            assert (other[:, cut] - logits[:, cut]).abs().min() > 1e-4
    assert (logits[0] - logits[1]).abs().min() > 1e-4, "every label depends on the text"


@torch.no_grad()
def test_a_reordered_prompt_is_that_of_labels_in_that_order(folder: Path, corpus: Corpus) -> None:
    space = corpus.label_space
    model = built(BertWDL, folder, space, prompt="words")
    order = torch.randperm(len(space), generator=torch.Generator().manual_seed(4))
    names = tuple(space.names[label] for label in order)
    batch = reorder_prompt(rows(model, space).__getitems__([0, 1, 2, 3]), order.expand(4, -1))
    data_input = replace(model.data_input, label_words=names)
    direct = TokenizedCorpus(rows(model, space).corpus, data_input).__getitems__([0, 1, 2, 3])
    assert torch.equal(batch["input_ids"], direct["input_ids"])
    torch.testing.assert_close(model(batch)[:, order], model(direct), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prompt": "words_masks"}, r"needs a mask token.*--model.prompt words"),
        ({"prompt": "words", "prompt_order": "free"}, r"model.prompt_order is 'free'.*a causal model"),
    ],
)
def test_prompts_that_a_decoder_cannot_have(
    folder: Path, corpus: Corpus, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        rows(built(BertWDL, folder, corpus.label_space, **settings), corpus.label_space)


# whole runs -----------------------------------------------------------------------------------------------------

MODELS = {
    "TransformerClassifier": ["--model.pooling=last"],
    "BertWDL": ["--model.prompt=words", "--trainer.callbacks+=LabelShuffle"],
    "GTHLEmo": ["--model.label_heads=4"],
}


#: What is trained by default; with MLEMO_LONG each model with each family.
PAIRS = {"TransformerClassifier": "qwen", "BertWDL": "llama", "GTHLEmo": "gemma"}


@pytest.mark.parametrize("kind", MODELS)
def test_a_decoder_is_trained_tested_and_used(kind: str, folder: Path, tmp_path: Path) -> None:
    if "MLEMO_LONG" not in os.environ and not folder.name.startswith(PAIRS[kind]):
        pytest.skip("one family per model, unless MLEMO_LONG is set")
    words = [f"--model={kind}", f"--model.encoder={folder}", *MODELS[kind], "--data.size=120", "--name=run"]
    words += ["--trainer.max_epochs=1", "--figures.every_n_epochs=0"]
    main(["fit", *words, f"--trainer.logger.init_args.save_dir={tmp_path}"])
    (folder / "config.json").rename(folder / "away")  # the checkpoint needs no file of the encoder
    try:
        classifier = mlemo.load(tmp_path / "run")
        assert classifier.model.causal
        assert classifier.model.encoder.config.use_cache is False
        alone, *_ = classifier.probabilities([TEXTS[0]])
        together = classifier.probabilities(TEXTS)
    finally:
        (folder / "away").rename(folder / "config.json")
    assert together.isfinite().all()
    torch.testing.assert_close(alone, together[0], atol=1e-5, rtol=0)


def test_gthl_has_the_states_of_the_decoder(folder: Path, corpus: Corpus) -> None:
    model = built(GTHLEmo, folder, corpus.label_space, graph="none", label_heads=4)
    data = rows(model, corpus.label_space)
    with torch.no_grad():
        torch.testing.assert_close(
            model(data.__getitems__([3]))[0], model(data.__getitems__([0, 1, 2, 3]))[3], atol=2e-5, rtol=0
        )


# features ---------------------------------------------------------------------------------------------------------


def test_features_of_a_frozen_decoder(folder: Path) -> None:
    features = FrozenEncoder(str(folder), pooling="last", bf16=False, cache=False)
    together = features(TEXTS)
    assert together.isfinite().all(), "a text without words has a token too"
    for row, text in enumerate(TEXTS):
        torch.testing.assert_close(features([text])[0], together[row], atol=2e-5, rtol=0)
    with pytest.raises(ValueError, match=r"FrozenEncoder.pooling is 'cls'.*use last or mean"):
        FrozenEncoder(str(folder), pooling="cls", bf16=False, cache=False)(TEXTS)
