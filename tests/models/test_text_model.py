"""The cleaning of texts: applied once, to every text, by every text model, and kept by the checkpoint."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import mlemo
from mlemo.data import Corpus, TokenizedCorpus
from mlemo.models import BertWDL, TransformerClassifier
from mlemo.nn.encoder import FromScratch
from mlemo.text import Tweets

Maker = Callable[..., Any]
CLEANING = Tweets(mentions="", repeated_letters=2, lowercase=False)
RAW, CLEAN = "@ana I was soooo happy 😂 &amp; proud", "I was soo happy face with tears of joy & proud"


def saved(model: Any, trainer: Maker, folder: Path) -> Path:
    run = trainer()
    run.strategy.connect(model)
    run.save_checkpoint(folder / "last.ckpt")
    return folder / "last.ckpt"


def test_the_example_is_cleaned_as_it_says() -> None:
    assert CLEANING(RAW) == CLEAN


@pytest.mark.parametrize("kind", [TransformerClassifier, BertWDL])
def test_batches_hold_the_cleaned_texts(kind: Any, source: FromScratch, corpus: Corpus) -> None:
    model = kind(corpus.label_space, source, cleaning=CLEANING)
    model.build(lambda: corpus.texts)
    assert model.data_input.cleaning == CLEANING
    corpus.texts[0], corpus.texts[1] = RAW, CLEAN
    batch = TokenizedCorpus(corpus, model.data_input).__getitems__([0, 1])
    assert torch.equal(batch["input_ids"][0], batch["input_ids"][1])
    raw = TokenizedCorpus(corpus, replace(model.data_input, cleaning=None)).__getitems__([0])
    assert not torch.equal(raw["input_ids"][0], batch["input_ids"][0])


def test_tokenizers_are_trained_on_the_cleaned_texts(source: FromScratch, corpus: Corpus) -> None:
    texts = ["@mention happy 😂", "&amp; happpppy"] * 5
    plain = TransformerClassifier(corpus.label_space, source)
    plain.build(lambda: texts)
    model = TransformerClassifier(corpus.label_space, source, cleaning=CLEANING)
    model.build(lambda: texts)
    assert "😂" in plain.tokenizer.get_vocab()
    assert not {"😂", "@", "amp"} & set(model.tokenizer.get_vocab())
    assert {"face", "tears"} <= set(model.tokenizer.get_vocab())
    assert model.tokenizer.tokenize("happpppy @ana") != model.tokenizer.tokenize("happy"), "the model's part, not its"
    assert list(model.cleaned(texts[:2])) == ["happy face with tears of joy", "& happy"]
    assert list(plain.cleaned(texts[:2])) == texts[:2]


@pytest.mark.parametrize("kind", [TransformerClassifier, BertWDL])
def test_a_loaded_checkpoint_cleans_raw_sentences(
    kind: Any, source: FromScratch, corpus: Corpus, trainer: Maker, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    results = {}
    for cleaning in (CLEANING, None):
        model = kind(corpus.label_space, source, cleaning=cleaning)
        model.build(lambda: corpus.texts)
        path = saved(model, trainer, tmp_path)
        stored = torch.load(path, weights_only=True)["cleaning"]
        assert stored == (
            None if cleaning is None else {"class_path": "mlemo.text.Tweets", "init_args": vars(CLEANING)}
        )
        classifier = mlemo.load(path)
        assert classifier.model.cleaning == cleaning
        results[cleaning] = classifier.probabilities([RAW, CLEAN])
    torch.testing.assert_close(results[CLEANING][0], results[CLEANING][1], atol=1e-6, rtol=0)
    assert (results[None][0] - results[None][1]).abs().max() > 1e-5


def test_the_cleaning_of_the_checkpoint_goes_before_that_of_the_model(
    source: FromScratch, corpus: Corpus, trainer: Maker, tmp_path: Path
) -> None:
    models = []
    for cleaning in (CLEANING, None, Tweets()):
        models.append(TransformerClassifier(corpus.label_space, source, cleaning=cleaning))
        models[-1].build(lambda: corpus.texts)
    path = saved(models[0], trainer, tmp_path)
    checkpoint = torch.load(path, weights_only=True)
    for model in models[1:]:
        model.on_load_checkpoint(checkpoint)
        assert model.cleaning == model.data_input.cleaning == CLEANING
        model.load_state_dict(checkpoint["state_dict"])
    del checkpoint["cleaning"]  # written before there were any
    models[0].on_load_checkpoint(checkpoint)
    assert models[0].data_input.cleaning is None
