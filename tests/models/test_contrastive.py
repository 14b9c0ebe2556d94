"""Contrastive fine-tuning: logits, the term of the loss, offsets, whole runs and checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from torch.nn.functional import cosine_similarity

import mlemo
from mlemo.callbacks import EMAWeights
from mlemo.cli import main
from mlemo.data import Corpus, TokenizedCorpus
from mlemo.losses import jaccard_contrastive
from mlemo.models import ContrastiveClassifier, Optimization
from mlemo.nn.encoder import FromScratch
from mlemo.nn.label_similarity import similarity_head
from mlemo.runs.predictions import read_predictions

Maker = Callable[..., Any]
ROWS = [5, 0, 22, 13]
CONFIG = Path(__file__).parents[2] / "configs" / "experiment" / "few_examples_synthetic.yaml"


@pytest.fixture
def contrastive(source: FromScratch, corpus: Corpus) -> Maker:
    """Maker of a tiny model with its encoder made, and offsets other than 0."""

    def make(**settings: Any) -> ContrastiveClassifier:
        torch.manual_seed(0)
        model = ContrastiveClassifier(corpus.label_space, source, **settings)
        model.build(lambda: corpus.texts)
        with torch.no_grad():
            model.offset.uniform_()
        return model

    return make


def batch_of(model: ContrastiveClassifier, corpus: Corpus) -> Any:
    return TokenizedCorpus(corpus, model.data_input).__getitems__(ROWS)


def vector(model: ContrastiveClassifier, text: str) -> torch.Tensor:
    encoded = model.tokenizer(text, return_tensors="pt", return_token_type_ids=False)
    return model.encoder(**encoded).last_hidden_state[0].mean(0)


def training_logits(model: ContrastiveClassifier, batch: Any) -> torch.Tensor:
    model.train().encoder.eval()  # without dropout
    return model.outputs(batch).logits


@pytest.mark.parametrize("descriptions", ["names", ["a good day", "so happy", "rain", "the sea", "never again"]])
def test_training_logits_by_hand(descriptions: Any, contrastive: Maker, corpus: Corpus) -> None:
    model = contrastive(descriptions=descriptions, scale=7.0)
    words = ["joy", "self confidence", "anger", "fear", "unease"] if descriptions == "names" else descriptions
    logits = training_logits(model, batch_of(model, corpus))
    for place, row in enumerate(ROWS):
        text = vector(model, corpus.texts[row])
        expected = torch.stack([cosine_similarity(text, vector(model, word), dim=0) for word in words])
        torch.testing.assert_close(logits[place], 7 * (expected - model.offset), atol=1e-4, rtol=0)


def test_logits_of_the_head_by_hand(contrastive: Maker, corpus: Corpus) -> None:
    model = contrastive().eval()
    model.weight.normal_()
    model.bias.normal_()
    logits = model(batch_of(model, corpus))
    for place, row in enumerate(ROWS):
        text = vector(model, corpus.texts[row])
        torch.testing.assert_close(logits[place], model.weight @ (text / text.norm()) + model.bias, atol=1e-5, rtol=0)


@pytest.mark.parametrize("settings", [{}, {"limit_val_batches": 0}], ids=["validated", "not validated"])
def test_the_head_is_that_of_the_trained_encoder(
    settings: dict[str, Any], source: FromScratch, data: Maker, trainer: Maker
) -> None:
    module = data(batch_size=8)
    model = ContrastiveClassifier(module.label_space, source, optimization=Optimization(learning_rate=1e-3))
    trainer(**settings).fit(model, datamodule=module)
    rows = module.dataset("train", model.data_input)
    with torch.no_grad():
        texts, descriptions = model.eval().vectors(rows.__getitems__(range(len(rows))))
    weight, bias = similarity_head(texts, descriptions, rows.labels, rows.mask)
    torch.testing.assert_close(model.weight, weight, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(model.bias, bias, atol=1e-3, rtol=1e-3)


def test_each_validation_has_a_head_of_its_encoder(source: FromScratch, data: Maker, trainer: Maker) -> None:
    seen = []

    class Look(Callback):
        def on_validation_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
            seen.append(pl_module.weight.clone())  # here the averages are in

    model = ContrastiveClassifier(data().label_space, source, optimization=Optimization(learning_rate=1e-3))
    run = trainer(max_epochs=2, num_sanity_val_steps=0, callbacks=[Look(), EMAWeights(decay=0.5)])
    run.fit(model, datamodule=data(batch_size=8))
    assert len(seen) == 2
    assert seen[0].any()
    assert not torch.equal(*seen)
    before = model.weight.clone()
    run.validate(model, datamodule=data(batch_size=8), verbose=False)
    assert torch.equal(model.weight, before), "fitted in training alone"


def test_descriptions_are_rows_of_the_contrastive_term(contrastive: Maker, corpus: Corpus) -> None:
    model = contrastive(contrastive_weight=0.5, temperature=0.2)
    model.encoder.eval()
    batch = batch_of(model, corpus)
    output = model.outputs(batch)
    vectors = torch.cat(model.vectors(batch))
    targets = torch.cat([batch["labels"], torch.eye(5)])
    mask = torch.cat([batch["label_mask"], torch.ones(5, 5, dtype=torch.bool)])
    term = 0.5 * jaccard_contrastive(vectors, targets, mask, 0.2)
    torch.testing.assert_close(output.terms["contrastive"], term)
    bce = model.loss(output.logits, batch["labels"], batch["label_mask"])
    torch.testing.assert_close(model.objective(batch, output), bce + term)


def test_evaluation_and_a_weight_of_zero_have_no_term(contrastive: Maker, corpus: Corpus) -> None:
    model = contrastive()
    assert model.outputs(batch_of(model, corpus)).terms
    assert not model.eval().outputs(batch_of(model, corpus)).terms
    assert not contrastive(contrastive_weight=0.0).outputs(batch_of(model, corpus)).terms


@pytest.mark.usefixtures("unlogged")
def test_every_parameter_gets_a_gradient(contrastive: Maker, corpus: Corpus) -> None:
    model = contrastive()
    model.training_step(batch_of(model, corpus), 0)["loss"].backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_offsets_start_at_the_shares_of_the_labels(source: FromScratch, data: Maker, trainer: Maker) -> None:
    module = data(batch_size=23)
    model = ContrastiveClassifier(module.label_space, source, optimization=Optimization(learning_rate=0.0))
    trainer().fit(model, datamodule=module)
    rows = module.dataset("train", model.data_input)
    with torch.no_grad():
        decided = training_logits(model, rows.__getitems__(range(len(rows)))) > 0
    share = rows.labels.sum(0) / rows.mask.sum(0)
    torch.testing.assert_close(decided.float().mean(0), share, atol=1.01 / len(rows), rtol=0)


def test_a_resumed_training_keeps_its_offsets(source: FromScratch, data: Maker, trainer: Maker, tmp_path: Path) -> None:
    def train(epochs: int, **resume: Any) -> ContrastiveClassifier:
        torch.manual_seed(0)
        settings = Optimization(learning_rate=1e-3, schedule="constant", warmup=0.0)
        model = ContrastiveClassifier(data().label_space, source, optimization=settings)
        run = trainer(max_epochs=epochs)
        run.fit(model, datamodule=data(batch_size=8), **resume)
        run.save_checkpoint(tmp_path / f"{epochs}.ckpt")
        return model

    train(1)
    resumed, whole = train(2, ckpt_path=tmp_path / "1.ckpt", weights_only=True), train(2)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, atol=0, rtol=0, msg=name)


def test_a_whole_run_is_reloaded_and_used(tmp_path: Path) -> None:
    small = ["--data.size=60", "--data.val_size=24", "--data.test_size=16", "--data.rows_per_label=2"]
    words = [*small, "--trainer.max_epochs=2", "--trainer.precision=32-true", "--trainer.accelerator=cpu"]
    cli = main(["fit", "--config", str(CONFIG), *words, f"--trainer.logger.save_dir={tmp_path}"])
    folder = Path(cli.trainer.log_dir)
    assert json.loads((folder / "run.json").read_text())["state"] == "finished"
    predictions = read_predictions(folder / "predictions_test.csv")
    classified = mlemo.load(folder)(cli.datamodule.corpus("test").texts)
    found = torch.tensor([list(one.probabilities.values()) for one in classified])
    assert (found.std(0) > 0).any()
    torch.testing.assert_close(found, predictions.probabilities, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"contrastive_weight": -1.0}, "model.contrastive_weight must be at least 0, found -1.0"),
        ({"temperature": 0.0}, "model.temperature must be positive, found 0.0"),
        ({"scale": float("nan")}, "model.scale must be positive, found nan"),
        ({"descriptions": ["joy", "anger"]}, "model.descriptions has 2 texts, expected one per label: 5"),
        ({"descriptions": "corpus"}, "this corpus has no words for its labels"),
    ],
)
def test_impossible_settings_are_refused(setting: dict[str, Any], message: str, contrastive: Maker) -> None:
    with pytest.raises(ValueError, match=message):
        contrastive(**setting)
