"""What all models share, shown on the plain classifier and on Bert-WDL."""

import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback

from mlemo.data import Corpus, EmotionDataModule, TokenizedCorpus
from mlemo.labels import LabelSpace
from mlemo.losses import (
    BinaryCrossEntropy,
    CompositeLoss,
    FocalLoss,
    RDropLoss,
    SoftMacroF1Loss,
    WeightedDifferenceLoss,
)
from mlemo.metrics import MultiLabelMetrics
from mlemo.models import BertWDL, MultiLabelModel, Optimization, TextModel, TransformerClassifier
from mlemo.nn.encoder import FromScratch

Maker = Callable[..., Any]


def batch_of(model: TextModel, corpus: Corpus, rows: list[int]) -> Any:
    return TokenizedCorpus(corpus, model.data_input).__getitems__(rows)


# made, built ----------------------------------------------------------------------------------------------------


def test_a_model_must_define_forward_and_head(corpus: Corpus, source: FromScratch) -> None:
    with pytest.raises(NotImplementedError, match="MultiLabelModel must define forward"):
        MultiLabelModel(corpus.label_space)({})
    with pytest.raises(NotImplementedError, match="TextModel must define build_head"):
        TextModel(corpus.label_space, source).build(lambda: corpus.texts)


def test_labels_are_given_as_space_names_or_plain_form() -> None:
    space = LabelSpace(("joy", "fear"), groups=(("joy", "fear"),))
    for form in (space, space.as_dict()):
        assert MultiLabelModel(form).label_space == space
    assert MultiLabelModel(["joy", "fear"]).label_space.names == space.names


def test_defaults() -> None:
    model = MultiLabelModel(["joy"])
    assert isinstance(model.loss, BinaryCrossEntropy)
    assert model.optimization == Optimization()
    assert isinstance(BertWDL(["joy", "fear"]).loss, WeightedDifferenceLoss)


def test_the_encoder_is_not_made_before_it_is_needed(source: FromScratch) -> None:
    model = TransformerClassifier(["joy"], source)
    with pytest.raises(RuntimeError, match=r"the encoder is made when training starts .* call build\(\) first"):
        _ = model.data_input
    assert list(model.parameters()) == []
    TransformerClassifier(["joy"], "no/such/encoder")


def test_a_tokenizer_to_be_trained_needs_texts(source: FromScratch, corpus: Corpus, trainer: Maker) -> None:
    message = "tokenizer is trained on texts, and there are none"
    with pytest.raises(ValueError, match=message):
        TransformerClassifier(corpus.label_space, source).build()

    class Tabular(EmotionDataModule):
        label_space = corpus.label_space

        def read(self, split: str) -> Corpus:
            return Corpus(corpus.label_space, corpus.labels, corpus.ids, features=torch.zeros(len(corpus), 2))

    with pytest.raises(ValueError, match=message):
        trainer().fit(TransformerClassifier(corpus.label_space, source), datamodule=Tabular())


def test_what_a_model_asks_of_the_data(bert_wdl: Maker, classifier: Maker, pretrained: Path) -> None:
    words = ["happy", "good day", "rain", "never", "sea"]
    model = bert_wdl(prompt="words", label_words=words, max_length=64)
    asked = model.data_input
    assert asked.tokenizer is model.tokenizer
    assert (asked.max_length, asked.prompt, asked.token_types, asked.label_words) == (64, "words", True, tuple(words))
    asked = classifier(encoder=str(pretrained)).data_input
    assert (asked.max_length, asked.prompt, asked.token_types, asked.label_words) == (128, None, True, None)


# steps ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unlogged")
@pytest.mark.parametrize("loss", [BinaryCrossEntropy(), WeightedDifferenceLoss(order=2)])
def test_what_the_steps_return(loss: Any, bert_wdl: Maker, corpus: Corpus) -> None:
    model = bert_wdl(loss=loss).eval()
    batch = batch_of(model, corpus, [3, 1, 4])
    expected = model(batch)
    for step in (model.training_step, model.validation_step, model.test_step):
        output = step(batch, 0)
        assert torch.equal(output["logits"], expected)
        assert not output["logits"].requires_grad
        assert output["index"].tolist() == [3, 1, 4]
        order = batch["label_order"]
        assert torch.equal(output["loss"], loss(expected, batch["labels"], batch["label_mask"], label_order=order))
        assert output["loss"].requires_grad
        names = {"bce", "d0", "d1", "d2"} if isinstance(loss, WeightedDifferenceLoss) else set()
        assert output.get("components", {}).keys() == names
        assert ("labels" in output) == (step != model.training_step)
    assert model.predict_step(batch, 0).keys() == {"logits", "index"}


@pytest.mark.usefixtures("unlogged")
def test_the_label_mask_reaches_the_loss(classifier: Maker, corpus: Corpus) -> None:
    model = classifier().eval()
    batch = batch_of(model, corpus, list(range(10)))
    assert not batch["label_mask"].all()
    unmasked = {**batch, "label_mask": torch.ones_like(batch["label_mask"])}
    assert not torch.equal(model.training_step(batch, 0)["loss"], model.training_step(unmasked, 0)["loss"])


@pytest.mark.parametrize("eval_batch_size", [2, 64])
def test_evaluation_metrics_are_those_of_all_rows_at_once(
    eval_batch_size: int, classifier: Maker, data: Maker, trainer: Maker
) -> None:
    model, module = classifier(), data(eval_batch_size=eval_batch_size)
    for stage, evaluate in (("val", trainer().validate), ("test", trainer().test)):
        logged = evaluate(model, datamodule=module, verbose=False)[0]
        corpus = module.corpus(stage)
        with torch.no_grad():
            logits = model.eval()(batch_of(model, corpus, list(range(len(corpus)))))
        metrics = MultiLabelMetrics(corpus.label_space)
        metrics.update(logits.sigmoid(), corpus.labels, mask=corpus.mask)
        expected = {f"{stage}/{name}": value.item() for name, value in metrics.compute().items()}
        assert len(expected) > 15
        assert {name: logged[name] for name in expected} == pytest.approx(expected, abs=1e-6, nan_ok=True)
        assert logged[f"{stage}/loss"] > 0


@pytest.mark.parametrize(
    ("accumulated", "processes", "gather", "warned"),
    [(1, 1, False, False), (2, 1, True, True), (1, 2, False, True), (1, 2, True, False)],
)
def test_a_loss_of_the_batch_warns_where_it_sees_parts_of_it(
    accumulated: int, processes: int, gather: bool, warned: bool, classifier: Maker, data: Maker
) -> None:
    model, module = classifier(loss=SoftMacroF1Loss(gather=gather)), data()
    module.setup("fit")
    model._trainer = SimpleNamespace(
        datamodule=module, accumulate_grad_batches=accumulated, world_size=processes, strategy=None
    )
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        model.on_fit_start()
    assert any("SoftMacroF1Loss is a loss of whole batches" in str(warning.message) for warning in found) is warned


def test_validation_metrics_start_anew_each_time(classifier: Maker, data: Maker, trainer: Maker) -> None:
    model, module = classifier(), data()
    first = trainer().validate(model, datamodule=module, verbose=False)[0]
    module._corpora["val"] = module.corpus("val").select([0, 1, 2])
    module._datasets.clear()
    trainer().validate(model, datamodule=module, verbose=False)
    del module._corpora["val"]
    module._datasets.clear()
    assert trainer().validate(model, datamodule=module, verbose=False)[0] == pytest.approx(first, nan_ok=True)


def test_dropout_is_seeded_by_the_place_in_training(classifier: Maker, corpus: Corpus) -> None:
    model = classifier(dropout=0.5).train()
    batch = batch_of(model, corpus, [3, 1, 4])

    def logits(batch_idx: int) -> torch.Tensor:
        model.on_train_batch_start(batch, batch_idx)
        return model(batch)

    first = logits(7)
    assert not torch.equal(logits(8), first)
    torch.rand(100)
    assert torch.equal(logits(7), first)


# optimizer ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unlogged")
@pytest.mark.parametrize("how", ["norm", "value"])
def test_clipping_leaves_the_weights_of_the_loss_alone(how: str, bert_wdl: Maker, corpus: Corpus) -> None:
    model = bert_wdl(loss=WeightedDifferenceLoss(order=1, weighting="softmax"))
    (1000 * model.training_step(batch_of(model, corpus, [0, 1, 2]), 0)["loss"]).backward()
    weights = model.loss.weight_parameters()[0]
    before = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    network = [parameter for parameter in model.parameters() if parameter is not weights]

    model.configure_gradient_clipping(None, None, how)
    assert all(torch.equal(parameter.grad, before[name]) for name, parameter in model.named_parameters())

    model.configure_gradient_clipping(None, 0.01, how)
    assert torch.equal(weights.grad, before["loss.component_weights.raw"])
    assert weights.grad.abs().max() > 0.01
    if how == "norm":
        norm = torch.stack([parameter.grad.norm() for parameter in network]).norm()
        assert norm.item() == pytest.approx(0.01, rel=1e-3)
    else:
        assert max(parameter.grad.abs().max().item() for parameter in network) == pytest.approx(0.01)


def test_optimizer_of_a_run(bert_wdl: Maker, data: Maker, trainer: Maker) -> None:
    model = bert_wdl(loss=WeightedDifferenceLoss(), optimization=Optimization(learning_rate=0.02, warmup=0.5))
    rates: list[list[float]] = []

    class Watch(Callback):
        def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
            rates.append([group["lr"] for group in optimizer.param_groups])

    run = trainer(callbacks=Watch(), max_epochs=2, accumulate_grad_batches=2, limit_val_batches=0)
    before = model.loss.weight_parameters()[0].clone()
    run.fit(model, datamodule=data(batch_size=6))
    assert run.global_step == len(rates) == 4  # 4 batches an epoch, two at a time
    assert [rate for rate, *_ in rates] == pytest.approx([0, 0.01, 0.02, 0.01])
    assert [rate for *_, rate in rates] == [0.01] * 4  # that of the loss's weights
    assert not torch.equal(model.loss.weight_parameters()[0], before)


# checkpoints ----------------------------------------------------------------------------------------------------


def save(model: Any, path: Path, trainer: Maker) -> Path:
    run = trainer()
    run.strategy.connect(model)
    run.save_checkpoint(path)
    return path


def test_settings_travel_as_plain_values_and_parts_do_not(
    bert_wdl: Maker, corpus: Corpus, trainer: Maker, tmp_path: Path
) -> None:
    words = ["happy", "good day", "rain", "never", "sea"]
    settings = {"prompt": "words", "san": "context", "heads": 4, "dropout": 0.3, "max_length": 77}
    settings |= {"prompt_order": "sequential", "evaluation_orders": 2}
    model = bert_wdl(
        loss=FocalLoss(), label_words=words, optimization=Optimization(learning_rate=1.0), **settings
    ).eval()
    path = save(model, tmp_path / "model.ckpt", trainer)
    held = torch.load(path, weights_only=True)["hyper_parameters"]
    assert held == {**settings, "label_words": words, "cleaning": None, "label_space": corpus.label_space.as_dict()}

    loaded = BertWDL.load_from_checkpoint(path, weights_only=True).eval()
    assert loaded.label_space == model.label_space
    assert loaded.data_input.label_words == tuple(words)
    batch = batch_of(model, corpus, [3, 1, 4])
    assert torch.equal(batch_of(loaded, corpus, [3, 1, 4])["input_ids"], batch["input_ids"])
    assert torch.equal(loaded(batch), model(batch))
    again = BertWDL.load_from_checkpoint(save(loaded, tmp_path / "again.ckpt", trainer), weights_only=True)
    assert again._files == loaded._files == model._files


@pytest.mark.parametrize(
    "loss",
    [
        BinaryCrossEntropy(),
        WeightedDifferenceLoss(order=3),
        WeightedDifferenceLoss(order=1, weighting="softmax"),
        WeightedDifferenceLoss(order=1),
    ],
)
@pytest.mark.parametrize("kind", ["bert_wdl", "classifier"])
def test_a_model_is_loaded_whatever_loss_it_was_trained_with(
    kind: str, loss: Any, request: pytest.FixtureRequest, corpus: Corpus, trainer: Maker, tmp_path: Path
) -> None:
    model = request.getfixturevalue(kind)(loss=loss).eval()
    loaded = type(model).load_from_checkpoint(save(model, tmp_path / "model.ckpt", trainer), weights_only=True).eval()
    batch = batch_of(model, corpus, [0, 5])
    assert torch.equal(loaded(batch), model(batch))


def test_weights_of_the_same_loss_are_loaded(bert_wdl: Maker, trainer: Maker, tmp_path: Path) -> None:
    model = bert_wdl()
    model.loss.weight_parameters()[0].data += 1.5
    loaded = BertWDL.load_from_checkpoint(save(model, tmp_path / "model.ckpt", trainer), weights_only=True)
    assert torch.equal(loaded.loss.weight_parameters()[0], model.loss.weight_parameters()[0])


def test_a_checkpoint_names_its_class_and_holds_its_encoder(classifier: Maker, trainer: Maker, tmp_path: Path) -> None:
    checkpoint = torch.load(save(classifier(), tmp_path / "model.ckpt", trainer), weights_only=True)
    assert checkpoint["model_class"] == "mlemo.models.transformer.TransformerClassifier"
    assert "config.json" in checkpoint["encoder"]
    assert "tokenizer.json" in checkpoint["encoder"]


def test_loading_another_encoders_weights_into_a_built_model_takes_that_encoder(
    classifier: Maker, corpus: Corpus, data: Maker, trainer: Maker, tmp_path: Path
) -> None:
    """As `test` does: the model has been built from the config when the checkpoint comes."""
    saved = classifier().eval()
    path = save(saved, tmp_path / "model.ckpt", trainer)
    other = classifier(encoder=FromScratch(layers=2, width=16, heads=2, vocabulary=100))
    assert len(other.tokenizer) != len(saved.tokenizer)
    trainer().validate(other, datamodule=data(), ckpt_path=path, weights_only=True, verbose=False)
    batch = batch_of(saved, corpus, [0, 5])
    assert torch.equal(batch_of(other, corpus, [0, 5])["input_ids"], batch["input_ids"])
    assert torch.equal(other.eval()(batch), saved(batch))


# copies of each sample --------------------------------------------------------------------------------------------


def test_a_loss_that_asks_for_copies_has_each_sample_twice_in_training(
    classifier: Maker, data: Maker, trainer: Maker
) -> None:
    divergences = []

    class Seen(Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            divergences.append(outputs["components"]["divergence"].item())
            rows, copies = outputs["index"].chunk(2)
            assert torch.equal(rows, copies)
            assert len(rows.unique()) == len(rows)
            first, second = outputs["logits"].chunk(2)
            assert not torch.equal(first, second), "each copy has a dropout of its own"

        def on_validation_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *args: Any) -> None:
            assert len(outputs["index"].unique()) == len(outputs["index"])
            assert outputs["components"]["divergence"] == 0

    trainer(callbacks=[Seen()]).fit(classifier(loss=RDropLoss()), datamodule=data(batch_size=4))
    assert min(divergences) > 0


def test_a_term_of_a_composite_loss_gets_its_copies(classifier: Maker, data: Maker) -> None:
    model = classifier(loss=CompositeLoss({"twice": RDropLoss(), "once": SoftMacroF1Loss()}))
    batch = data().dataset("train", model.data_input).__getitems__([3, 5, 8])
    model.on_train_batch_start(batch, 1)
    assert batch["index"].tolist() == [3, 5, 8, 3, 5, 8]
    assert {len(value) for value in batch.values()} == {6}
