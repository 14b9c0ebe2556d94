"""Selection in real trainings: what reaches the sampler, what must not reach the gradient, and resuming."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor
from torch.nn import functional as F

from mlemo.batch import FeatureInput
from mlemo.callbacks import BatchSelection, LabelShuffle
from mlemo.callbacks.batch_selection import Adaptive, Chain, Hard, Random, SelectionStrategy, sample_losses
from mlemo.data import Corpus, SyntheticEmotions
from mlemo.data.collate import FeatureCorpus
from mlemo.losses import BinaryCrossEntropy, MeanSquaredError, SoftJaccardLoss, SoftMacroF1Loss
from mlemo.models import TransformerClassifier
from mlemo.nn.encoder import FromScratch
from mlemo.nn.features import TextFeatures
from mlemo.nn.frozen_encoder import FrozenEncoder
from mlemo.nn.tfidf import Tfidf
from mlemo.samplers import (
    AdaptiveBatchSampler,
    ChainAdaptiveBatchSampler,
    RandomBatchSampler,
    RankBatchSampler,
    instance_weights,
)
from mlemo.text import TextCleaning
from mlemo.training import instantiate

Maker = Callable[..., Any]
STEPS = 6  # an epoch: 23 rows in batches of 4


class Letters(TextFeatures):
    """How often a few letters occur: a space that is made at once. The frequencies are learned, to see `fit` called."""

    def fit(self, texts: Sequence[str]) -> None:
        self.total = {letter: 1 + sum(text.count(letter) for text in texts) for letter in "aeot"}

    def __call__(self, texts: Sequence[str]) -> Tensor:
        return torch.tensor([[text.count(letter) / total for letter, total in self.total.items()] for text in texts])


class Beginnings(TextCleaning):
    """A cleaning that leaves its mark."""

    def __call__(self, text: str) -> str:
        return text.lower()[:12]


class Notes(Callback):
    """The batches that were trained on, with the logits of each row."""

    def __init__(self) -> None:
        self.batches: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        self.told: list[tuple[Tensor, Tensor]] = []
        self.logged: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: Trainer, model: LightningModule, outputs: Any, batch: Any, *_: Any) -> None:
        self.batches.append((outputs["index"], outputs["logits"], batch["labels"], batch["label_mask"]))
        if "sample_losses" in outputs:
            self.told.append((outputs["index"], outputs["sample_losses"]))

    def on_validation_end(self, trainer: Trainer, model: LightningModule) -> None:
        self.logged.append({name: float(value) for name, value in trainer.callback_metrics.items()})

    @property
    def rows(self) -> list[list[int]]:
        return [batch[0].tolist() for batch in self.batches]


def loss_by_loops(logits: Tensor, labels: Tensor, mask: Tensor) -> float:
    terms = [
        float(F.softplus(-logit if label else logit)) for logit, label, known in zip(logits, labels, mask) if known
    ]
    return sum(terms) / len(terms) if terms else 0.0


def strategies() -> list[SelectionStrategy]:
    return [Random(), Hard(16.0), Adaptive(16.0, features=Letters()), Chain(16.0, features=Letters(), neighbours=3)]


every = pytest.mark.parametrize("strategy", strategies(), ids=lambda strategy: type(strategy).__name__)


def test_loss_of_a_sample_by_loops() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn(6, 4, generator=generator)
    labels = (torch.rand(6, 4, generator=generator) < 0.5).float()
    mask = torch.rand(6, 4, generator=generator) < 0.7
    mask[2] = False
    expected = [loss_by_loops(*row) for row in zip(logits, labels, mask)]
    assert sample_losses(logits, labels, mask).tolist() == pytest.approx(expected, rel=1e-5)
    assert expected[2] == 0
    half = sample_losses(logits.bfloat16().requires_grad_(), labels, mask)
    assert half.dtype == torch.float32
    assert not half.requires_grad
    expected = [loss_by_loops(*row) for row in zip(logits.bfloat16().float(), labels, mask)]
    assert half.tolist() == pytest.approx(expected, rel=1e-5)


@every
def test_the_sampler_draws_the_batches_and_knows_their_losses(
    strategy: SelectionStrategy, classifier: Maker, data: Maker, trainer: Maker
) -> None:
    selection, notes = BatchSelection(strategy, warmup_epochs=1), Notes()
    run = trainer(max_epochs=3, callbacks=[selection, notes])
    module = data(batch_size=4)
    run.fit(classifier(), module)
    kinds = {
        Random: RandomBatchSampler,
        Hard: RankBatchSampler,
        Adaptive: AdaptiveBatchSampler,
        Chain: ChainAdaptiveBatchSampler,
    }
    assert type(selection.sampler) is kinds[type(strategy)]
    assert run.train_dataloader.batch_sampler is selection.sampler
    assert selection.sampler.selection_pressure == getattr(strategy, "selection_pressure", 1.0)
    table = {}
    for batch in notes.batches:
        table.update({int(row): loss_by_loops(*rest) for row, *rest in zip(*batch)})
    assert selection.sampler.losses.tolist() == pytest.approx([table[row] for row in range(23)])
    first, *others = (notes.rows[epoch * STEPS : (epoch + 1) * STEPS] for epoch in range(3))
    assert sorted(row for rows in first for row in rows) == list(range(23))
    for epoch in others:
        complete = sorted(row for rows in epoch for row in rows) == list(range(23))
        assert complete == isinstance(strategy, Random)
    assert module.make_sampler == module.shuffled, "the next run with this data is a plain one"


def test_weights_come_from_the_neighbours_among_the_texts(corpus: Corpus) -> None:
    letters = Letters()
    letters.fit(corpus.texts or [])
    vectors = letters(corpus.texts or [])
    expected = instance_weights(vectors, corpus.labels, 3)
    assert expected.max() > 1
    options: Any = {"seed": 0, "world_size": 1, "rank": 0}
    # vectors that the model reads are taken, unless others are asked for; the second ones are further from the truth
    same, other = (FeatureCorpus(corpus, FeatureInput(lambda texts, factor=f: vectors * factor)) for f in (1.0, 0.0))
    for kind in (Adaptive, Chain):
        for chosen, data in ((None, same), (Letters(), other)):
            sampler = kind(features=chosen, neighbours=3).sampler(data, 4, **options)
            assert torch.equal(sampler.weights, expected)
        assert not torch.equal(kind(neighbours=3).sampler(other, 4, **options).weights, expected)
        assert torch.equal(kind(weights=False).sampler(same, 4, **options).weights, torch.ones(23))


def test_tokens_are_no_space_and_tfidf_is_the_default(corpus: Corpus, classifier: Maker, data: Maker) -> None:
    dataset = data().dataset("train", classifier().data_input)
    tfidf = Tfidf()
    tfidf.fit(corpus.texts or [])
    expected = instance_weights(tfidf(corpus.texts or []), corpus.labels, 3)
    sampler = Adaptive(neighbours=3).sampler(dataset, 4, seed=0)
    torch.testing.assert_close(sampler.weights, expected)  # type: ignore[attr-defined]
    assert expected.max() > 1


def test_embeddings_of_a_pretrained_encoder_are_the_space_of_its_model(
    corpus: Corpus, data: Maker, trainer: Maker, pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cleaned = [text.lower()[:12] for text in corpus.texts or []]
    vectors = FrozenEncoder(str(pretrained), cache=False)(cleaned)
    expected = instance_weights(vectors, corpus.labels, 3)
    selection = BatchSelection(Adaptive(neighbours=3), warmup_epochs=1)
    model = TransformerClassifier(corpus.label_space, str(pretrained), cleaning=Beginnings())
    trainer(max_epochs=1, callbacks=[selection]).fit(model, data(batch_size=4))
    sampler = selection.sampler
    assert isinstance(sampler, AdaptiveBatchSampler)
    torch.testing.assert_close(sampler.weights, expected)  # type: ignore[attr-defined]
    tfidf = Tfidf()
    tfidf.fit(corpus.texts or [])
    assert not torch.allclose(expected, instance_weights(tfidf(corpus.texts or []), corpus.labels, 3))
    # another space where one is asked for, and none of its own where an encoder starts from scratch
    assert isinstance(model.pretrained_features(), FrozenEncoder)
    assert TransformerClassifier(corpus.label_space, FromScratch()).pretrained_features() is None
    dataset = data().dataset("train", model.data_input)
    other = Adaptive(features=Letters()).reading(model.pretrained_features()).sampler(dataset, 4, seed=0)
    letters = Letters()
    letters.fit(corpus.texts or [])
    assert isinstance(other, AdaptiveBatchSampler)
    torch.testing.assert_close(  # type: ignore[attr-defined]
        other.weights, instance_weights(letters(corpus.texts or []), corpus.labels)
    )


def test_features_of_a_table_are_scaled_before_neighbours_are_sought(corpus: Corpus) -> None:
    generator = torch.Generator().manual_seed(5)
    features = torch.rand(23, 4, generator=generator)
    features[:, 2] = 7  # says nothing, and must not divide by zero
    lowest, highest = features[:, [0, 1, 3]].min(0).values, features[:, [0, 1, 3]].max(0).values
    expected = instance_weights((features[:, [0, 1, 3]] - lowest) / (highest - lowest), corpus.labels)
    features *= torch.tensor([1, 1e4, 1, 1e-3])
    table = Corpus(corpus.label_space, corpus.labels, corpus.ids, features=features)
    sampler = Adaptive().sampler(FeatureCorpus(table, FeatureInput()), 4, seed=0)
    torch.testing.assert_close(sampler.weights, expected)  # type: ignore[attr-defined]
    assert not torch.equal(expected, instance_weights(features, corpus.labels)), "scaling makes no difference"


def test_selection_does_not_touch_the_gradient(classifier: Maker, data: Maker, trainer: Maker) -> None:
    # in the warm-up all take the same batches; were a loss weighted, the networks would part
    strategies = [None, Random(), Hard(64.0), Adaptive(64.0, features=Letters()), Adaptive(2.0, weights=False)]
    networks = []
    for strategy in strategies:
        callbacks = [] if strategy is None else [BatchSelection(strategy, warmup_epochs=1)]
        model = classifier()
        trainer(max_epochs=1, callbacks=callbacks).fit(model, data(batch_size=4, group_by_length=False))
        networks.append(model.state_dict())
    for network in networks[1:]:
        assert all(torch.equal(network[name], value) for name, value in networks[0].items())


def test_copies_of_a_sample_count_with_their_mean(bert_wdl: Maker, data: Maker, trainer: Maker) -> None:
    selection, notes = BatchSelection(Hard(), warmup_epochs=1), Notes()
    callbacks = [LabelShuffle(k=3), selection, notes]
    trainer(max_epochs=1, callbacks=callbacks).fit(bert_wdl(loss=BinaryCrossEntropy()), data(batch_size=4))
    assert len(notes.rows[0]) == 12
    torch.testing.assert_close(selection.tables["model"], selection.tables["bce"])  # type: ignore[attr-defined]
    for batch in notes.batches:
        for row in batch[0].unique():
            copies = [loss_by_loops(*rest) for index, *rest in zip(*batch) if index == row]
            assert len(copies) == 3
            assert float(selection.sampler.losses[row]) == pytest.approx(sum(copies) / 3)


def test_figures_are_logged_once_an_epoch(classifier: Maker, data: Maker, trainer: Maker) -> None:
    selection, notes = BatchSelection(Hard(16.0), warmup_epochs=1), Notes()
    run = trainer(max_epochs=2, callbacks=[selection, notes])
    run.fit(classifier(), data(batch_size=4))
    metrics = {name: float(value) for name, value in run.callback_metrics.items()}
    assert metrics["selection/distinct"] == pytest.approx(
        len({row for rows in notes.rows[STEPS:] for row in rows}) / 23
    )
    assert metrics["selection/distinct"] < 1
    assert metrics["selection/ratio"] == pytest.approx(16 ** (22 / 23), rel=1e-5)
    assert metrics["selection/loss"] == pytest.approx(float(selection.sampler.losses.mean()))


def both_tables(notes: Notes) -> tuple[list[float], list[float]]:
    """Cross-entropy and loss of the model that each row had last."""
    entropies: dict[int, float] = {}
    told: dict[int, float] = {}
    for batch in notes.batches:
        entropies.update({int(row): loss_by_loops(*rest) for row, *rest in zip(*batch)})
    for index, losses in notes.told:
        told.update(zip(index.tolist(), losses.tolist()))
    return [entropies[row] for row in range(23)], [told[row] for row in range(23)]


@pytest.mark.parametrize("ranked_by", ["bce", "model"])
def test_the_losses_of_the_model_are_compared_and_may_rank(
    ranked_by: Any, classifier: Maker, data: Maker, trainer: Maker
) -> None:
    selection, notes = BatchSelection(Hard(16.0), warmup_epochs=1, ranked_by=ranked_by), Notes()
    run, model = trainer(max_epochs=2, callbacks=[selection, notes]), classifier(loss=SoftJaccardLoss())
    run.fit(model, data(batch_size=4))
    entropies, told = both_tables(notes)
    assert selection.tables["bce"].tolist() == pytest.approx(entropies)
    assert selection.tables["model"].tolist() == pytest.approx(told)
    assert selection.sampler.losses.tolist() == pytest.approx(entropies if ranked_by == "bce" else told)
    found = float(run.callback_metrics["selection/correlation"])
    assert found == pytest.approx(np.corrcoef(entropies, told)[0, 1], rel=1e-4)
    assert abs(found) < 0.999
    # losses as the objective has them
    _, logits, labels, mask = notes.batches[-1]
    expected = SoftJaccardLoss().per_sample(logits, labels, mask)
    torch.testing.assert_close(notes.told[-1][1], expected)  # type: ignore[attr-defined]
    assert not model.returns_sample_losses, "the next training of this model does not compute losses per sample"


def test_a_loss_of_the_batch_as_a_whole_ranks_no_samples(classifier: Maker, data: Maker, trainer: Maker) -> None:
    model = classifier(loss=SoftMacroF1Loss())
    run = trainer(max_epochs=1, callbacks=[BatchSelection(Hard())])
    run.fit(model, data(batch_size=4))
    assert "selection/correlation" not in run.callback_metrics
    with pytest.raises(ValueError, match=r"rank by the model's loss: SoftMacroF1Loss judges a batch as a whole"):
        trainer(callbacks=[BatchSelection(Hard(), ranked_by="model")]).fit(model, data(batch_size=4))


def test_nothing_is_told_where_nobody_asks(classifier: Maker, data: Maker, trainer: Maker) -> None:
    notes = Notes()
    trainer(max_epochs=1, callbacks=[notes]).fit(classifier(), data(batch_size=4))
    assert notes.batches
    assert not notes.told


def test_losses_after_an_epoch_are_kept_in_a_file(
    classifier: Maker, data: Maker, trainer: Maker, tmp_path: Path
) -> None:
    def selection() -> BatchSelection:
        return BatchSelection(Hard(16.0), warmup_epochs=1, record_epochs=[1, 3, 70])

    def saved(folder: Path) -> dict[str, Any]:
        with np.load(folder / "selection_losses.npz") as file:
            return dict(file)

    notes, module = Notes(), data(batch_size=4)
    saving = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
    made = trainer(
        max_epochs=3, default_root_dir=tmp_path, callbacks=[selection(), notes, saving], enable_checkpointing=True
    )
    made.fit(classifier(), module)
    found = saved(tmp_path)
    assert found["epochs"].tolist() == [1, 3]
    assert found["losses"].dtype == np.float32
    labels = module.corpus("train").labels
    counts = labels.sum(0)
    rare = (counts > 0) & (counts.max() / counts > (counts.max() / counts[counts > 0]).mean())
    assert found["minority_labels"].tolist() == labels[:, rare].sum(1).tolist()
    assert 0 < labels[:, rare].sum() < labels.sum()
    table: dict[int, float] = {}
    for number, batch in enumerate(notes.batches, start=1):
        table.update({int(row): loss_by_loops(*rest) for row, *rest in zip(*batch)})
        if number in (STEPS, 3 * STEPS):
            expected = [table[row] for row in range(23)]
            assert found["losses"][number // (2 * STEPS)].tolist() == pytest.approx(expected, rel=1e-5)
    for step in (STEPS, 10):  # at the end of a recorded epoch, and later
        folder = tmp_path / f"from {step}"
        saving = ModelCheckpoint(folder, "{step}", every_n_train_steps=1)
        again = trainer(
            max_epochs=3, default_root_dir=folder, callbacks=[selection(), saving], enable_checkpointing=True
        )
        again.fit(classifier(), data(batch_size=4), ckpt_path=tmp_path / f"step={step}.ckpt", weights_only=True)
        for name, value in found.items():
            assert np.array_equal(saved(folder)[name], value)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"record_epochs are counted from 1, found \[0\]"):
        BatchSelection(record_epochs=[0])
    with pytest.raises(ValueError, match=r"ranked_by must be 'bce' or 'model', found 'loss'"):
        BatchSelection(ranked_by="loss")  # type: ignore[arg-type]


def train(
    trainer: Maker, classifier: Maker, data: Maker, folder: Path, selection: BatchSelection, **settings: Any
) -> Any:
    """Train from the start, or from a checkpoint, and keep one of every step."""
    notes = Notes()
    saving = ModelCheckpoint(folder, "{step}", every_n_train_steps=1, save_top_k=-1)
    path = settings.pop("ckpt_path", None)
    run = trainer(callbacks=[selection, notes, saving], enable_checkpointing=True, **settings)
    model = classifier(loss=SoftJaccardLoss())
    run.fit(model, data(batch_size=4), ckpt_path=path, weights_only=True)
    return notes.rows, model.state_dict(), selection.sampler.state_dict() | selection.tables


def assert_equal(found: Any, expected: Any) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(torch.as_tensor(found[name]), torch.as_tensor(value)), name


@pytest.mark.parametrize(("refresh", "ranked_by"), [("batch", "bce"), ("epoch", "bce"), ("batch", "model")])
@pytest.mark.parametrize(
    ("kind", "steps"),
    [
        (Hard, [10]),
        (Adaptive, [4, 6, 10, 12]),
        (Chain, [10]),
    ],  # in the warm-up, at its end, in and at the end of epoch 2
)
def test_a_resumed_run_draws_what_the_unbroken_one_does(
    kind: Any,
    refresh: Any,
    ranked_by: Any,
    steps: list[int],
    classifier: Maker,
    data: Maker,
    trainer: Maker,
    tmp_path: Path,
) -> None:
    def selection() -> BatchSelection:
        features = {} if kind is Hard else {"features": Letters()}
        return BatchSelection(kind(16.0, **features), 1, refresh, ranked_by=ranked_by)

    rows, network, state = train(trainer, classifier, data, tmp_path, selection(), max_epochs=3)
    assert len(rows) == 3 * STEPS
    for step in steps:
        path = tmp_path / f"step={step}.ckpt"
        again = tmp_path / f"again {step}"
        resumed = train(trainer, classifier, data, again, selection(), max_epochs=3, ckpt_path=path)
        assert resumed[0] == rows[step:]
        assert_equal(resumed[1], network)
        assert_equal(resumed[2], state)


def test_strategies_start_from_one_warm_up(classifier: Maker, data: Maker, trainer: Maker, tmp_path: Path) -> None:
    train(trainer, classifier, data, tmp_path / "warm-up", BatchSelection(Random()), max_epochs=2)
    options: list[dict[str, Any]] = [
        {"strategy": Hard(16.0)},
        {"strategy": Adaptive(16.0, weights=False)},
        {"strategy": Hard(16.0), "ranked_by": "model"},
    ]
    for number, chosen in enumerate(options):
        whole = train(
            *(trainer, classifier, data, tmp_path / f"{number}", BatchSelection(warmup_epochs=1, **chosen)),
            max_epochs=2,
        )
        continued = train(
            *(trainer, classifier, data, tmp_path / f"{number} continued", BatchSelection(warmup_epochs=1, **chosen)),
            max_epochs=2,
            ckpt_path=tmp_path / "warm-up" / f"step={STEPS}.ckpt",
        )
        assert continued[0] == whole[0][STEPS:]
        assert_equal(continued[1], whole[1])
        assert_equal(continued[2], whole[2])


def test_a_run_without_a_datamodule_of_mlemo_is_refused(classifier: Maker, data: Maker, trainer: Maker) -> None:
    module, model = data(batch_size=4), classifier()
    loader = torch.utils.data.DataLoader(module.dataset("train", model.data_input))
    with pytest.raises(ValueError, match="a datamodule of mlemo, found NoneType"):
        trainer(callbacks=[BatchSelection(Hard())]).fit(model, loader, loader)


def test_strategies_are_named_on_the_command_line() -> None:
    words = ["--data=SyntheticEmotions", "--model=BertWDL", "--trainer.accelerator=cpu", "--trainer.logger=false"]
    chosen = ["--trainer.callbacks.strategy=Chain", "--trainer.callbacks.strategy.selection_pressure=8"]
    features = [f"--trainer.callbacks.strategy.features={__name__}.Letters"]
    refresh = ["--trainer.callbacks.refresh=epoch"]
    built = instantiate([*words, "--trainer.callbacks+=BatchSelection", *chosen, *features, *refresh])
    selection = next(callback for callback in built.trainer.callbacks if isinstance(callback, BatchSelection))
    assert isinstance(selection.strategy, Chain)
    assert selection.strategy.selection_pressure == 8
    assert type(selection.strategy.features).__name__ == "Letters"
    assert selection.options["refresh"] == "epoch"
    built = instantiate([*words, "--trainer.callbacks+=BatchSelection"])
    selection = next(callback for callback in built.trainer.callbacks if isinstance(callback, BatchSelection))
    assert type(selection.strategy) is Adaptive


def fit_and_save(path: Path, batch_size: int, **settings: Any) -> None:
    torch.manual_seed(0)
    data = SyntheticEmotions(size=48, val_size=4, test_size=4, batch_size=batch_size)
    # no dropout: its noise depends on the process
    encoder = FromScratch(layers=1, width=16, heads=2, vocabulary=150, dropout=0)
    model = TransformerClassifier(data.label_space, encoder, dropout=0, loss=MeanSquaredError())
    model.build(lambda: data.corpus("train").texts or [])  # before anything in a trainer draws or seeds
    callbacks = [
        BatchSelection(Adaptive(16.0, weights=False), warmup_epochs=1),
        ModelCheckpoint(path.parent, path.stem),
    ]
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    common: dict[str, Any] = {"accelerator": "cpu", "max_epochs": 3, "use_distributed_sampler": False}
    Trainer(callbacks=callbacks, **quiet, **common, **settings).fit(model, data)


def test_two_processes_draw_and_train_as_one_with_batches_of_twice_the_size(tmp_path: Path) -> None:
    one, two = tmp_path / "one.ckpt", tmp_path / "two.ckpt"
    fit_and_save(one, 8, devices=1)
    # a fresh process forks into two, so that mlemo is imported once, and no thread of this one is copied
    call = f"fit_and_save(Path({str(two)!r}), 4, devices=2, strategy='ddp_fork')"
    done = subprocess.run(
        [sys.executable, "-c", f"from test_batch_selection import *; torch.set_num_threads(1); {call}"],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "2 processes" in done.stderr
    saved, other = (torch.load(path, weights_only=True) for path in (one, two))
    first, second = saved["SyntheticEmotions"], other["SyntheticEmotions"]
    assert torch.equal(first["seen"], second["seen"])
    assert not first["seen"].all()
    torch.testing.assert_close(first["losses"], second["losses"], rtol=1e-4, atol=1e-5)
    tables, others = (kept["callbacks"]["BatchSelection"]["tables"] for kept in (saved, other))
    assert torch.equal(tables["bce"], first["losses"])
    torch.testing.assert_close(tables["model"], others["model"], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(tables["model"], tables["bce"])
    for name, value in saved["state_dict"].items():
        torch.testing.assert_close(other["state_dict"][name], value, atol=1e-4, rtol=1e-3, msg=name)
