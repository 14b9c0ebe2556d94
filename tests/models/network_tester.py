"""The tests that every network over feature vectors passes; a test file derives a class from `NetworkTester`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch_geometric.nn import MLP

import mlemo
from mlemo.batch import Batch
from mlemo.cli import main
from mlemo.data import Corpus, EmotionDataModule, Split
from mlemo.labels import LabelSpace
from mlemo.losses import MeanSquaredError, SoftMacroF1Loss
from mlemo.models import FeatureModel, Optimization

Maker = Callable[..., Any]
WIDTH, LABELS = 8, 5
ROWS = {"train": 40, "val": 12, "test": 12}


def names(count: int) -> list[str]:
    return [f"label{number}" for number in range(count)]


def table(rows: int, labels: int = LABELS, *, width: int = WIDTH, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features that show the labels, turned by a rotation: a problem without error."""
    generator = torch.Generator().manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(width, width, generator=generator))[0]
    generator.manual_seed(seed)
    targets = (torch.rand(rows, labels, generator=generator) < 0.4).float()
    features = 0.2 * torch.randn(rows, width, generator=generator)
    features[:, :labels] += 2 * targets - 1
    return features @ rotation, targets


def make_batch(rows: int = 6, labels: int = LABELS, *, width: int = WIDTH, masked: bool = False) -> Batch:
    """The first rows are without a label, with all labels, and (where asked) without an annotation."""
    generator = torch.Generator().manual_seed(rows)
    features = torch.randn(rows, width, generator=generator)
    targets = (torch.rand(rows, labels, generator=generator) < 0.4).float()
    mask = torch.ones(rows, labels, dtype=torch.bool)
    if rows > 3:
        targets[0], targets[1] = 0, 1
        if masked:
            mask = torch.rand(rows, labels, generator=generator) < 0.7
            mask[2] = False
    return {"features": features, "labels": targets * mask, "label_mask": mask, "index": torch.arange(rows)}


class TinyTable(EmotionDataModule):
    """A tabular corpus in which some labels are not annotated."""

    @property
    def label_space(self) -> LabelSpace:
        return LabelSpace(tuple(names(LABELS)))

    def read(self, split: Split) -> Corpus:
        rows = ROWS[split]
        features, targets = table(rows, seed=rows)
        mask = torch.rand(rows, LABELS, generator=torch.Generator().manual_seed(rows)) < 0.9
        return Corpus(self.label_space, targets * mask, [str(row) for row in range(rows)], features=features, mask=mask)


class LargestTensor(TorchDispatchMode):
    """Notes the number of entries of the largest tensor that is made."""

    def __init__(self) -> None:
        super().__init__()
        self.entries = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = function(*args, **(kwargs or {}))
        for result in results if isinstance(results, tuple | list) else (results,):
            if isinstance(result, Tensor) and not result.is_sparse:  # indices and values are tensors of their own
                # a view that repeats entries holds no more than what it looks at
                self.entries = max(self.entries, result.untyped_storage().nbytes() // result.element_size())
        return results


@dataclass(frozen=True)
class Layers:
    """A perceptron as its paper or its authors' code has it.

    Args:
        widths: Of input, hidden layers and output.
        slope: Of the rectifiers below zero.
        dropout: Behind each rectifier.
        normalised: Whether the layers normalise over the batch.
        linear_output: Whether nothing follows the last layer.
    """

    widths: list[int]
    slope: float = 0.0
    dropout: float = 0.0
    normalised: bool = False
    linear_output: bool = False


class NetworkTester:
    """Derive and set ``network`` and what else differs.

    Attributes:
        network: The model class.
        small: Settings that make it small.
        epochs: Passes over the planted problem.
        planted: Further settings for the planted problem.
        entries: Most entries of a tensor in a training step of the default network with 64 samples and 374 labels.
        layers: The perceptrons of the default network for 7 labels and 20 features.
        others: Shapes of its other parameters that are matrices.
        he: Whether the perceptrons start as He et al. (2015) have it, with biases between 0 and 0.1.
    """

    network: ClassVar[type[FeatureModel]]
    small: ClassVar[dict[str, Any]] = {}
    epochs: ClassVar[int] = 20
    planted: ClassVar[dict[str, Any]] = {}
    entries: ClassVar[int]
    layers: ClassVar[dict[str, Layers]]
    others: ClassVar[dict[str, tuple[int, int]]] = {}
    he: ClassVar[bool] = True

    def build(self, labels: int = LABELS, width: int = WIDTH, **settings: Any) -> Any:
        torch.manual_seed(0)
        model = self.network(names(labels), **self.small | settings)
        model.build(width, table(50, labels, width=width)[1])
        return model

    @staticmethod
    def step(model: FeatureModel, batch: Batch, seed: int = 0) -> dict[str, Tensor]:
        """Gradients of one training step, by parameter."""
        torch.manual_seed(seed)
        model.train()
        model.zero_grad()
        model.objective(batch, model.outputs(batch)).backward()
        return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}

    def train(self, model: FeatureModel, features: Tensor, targets: Tensor, epochs: int) -> None:
        torch.manual_seed(0)
        model.train()
        optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
        mask = torch.ones_like(targets, dtype=torch.bool)
        for _ in range(epochs):
            for rows in torch.randperm(len(features)).split(64):
                batch: Batch = {
                    "features": features[rows],
                    "labels": targets[rows],
                    "label_mask": mask[rows],
                    "index": rows,
                }
                loss = model.objective(batch, model.outputs(batch))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def test_a_planted_problem_is_learned(self) -> None:
        model = self.build(**self.planted)
        self.train(model, *table(256, seed=1), self.epochs)
        features, targets = table(200, seed=2)
        with torch.no_grad():
            decisions = model.eval()({"features": features}) > 0
        assert (decisions != (targets > 0)).float().mean() < 0.01

    def default(self) -> Any:
        torch.manual_seed(0)
        model = self.network(names(7))
        model.build(20, torch.eye(7))
        return model

    def test_the_default_layers(self) -> None:
        model = self.default()
        perceptrons = {name: module for name, module in model.named_modules() if isinstance(module, MLP)}
        assert perceptrons.keys() == self.layers.keys()
        for name, network in perceptrons.items():
            wanted = self.layers[name]
            assert network.channel_list == wanted.widths, name
            assert network.act(torch.tensor([-1.0, 1.0])).tolist() == pytest.approx([-wanted.slope, 1]), name
            behind = len(network.lins) - wanted.linear_output
            assert network.dropout == [wanted.dropout] * behind + [0.0] * wanted.linear_output, name
            assert network.plain_last is wanted.linear_output, name
            assert [not isinstance(norm, nn.Identity) for norm in network.norms] == [wanted.normalised] * behind, name
        inside = tuple(f"{name}." for name in perceptrons)
        others = {name: value for name, value in model.named_parameters() if value.ndim == 2}
        others = {name: tuple(value.shape) for name, value in others.items() if not name.startswith(inside)}
        assert others == self.others

    def test_the_start_of_the_perceptrons(self) -> None:
        for name, module in self.default().named_modules() if self.he else ():
            for layer in module.lins if isinstance(module, MLP) else ():
                bound = math.sqrt(6 / (1 + self.layers[name].slope ** 2) / layer.in_channels)
                assert 0.98 * bound < layer.weight.abs().max() <= bound, name
                assert layer.bias.min() >= 0
                assert 0.05 < layer.bias.max() <= 0.1

    @pytest.mark.usefixtures("no_autocast")
    def test_a_training_step_reads_nothing_from_the_device(self) -> None:
        # a tensor on the meta device has no value: reading it raises
        model = self.build().to("meta").train()
        batch = {name: part.to("meta") for name, part in make_batch(masked=True).items()}
        output = model.outputs(batch)
        model.sample_losses(batch, output)
        model.objective(batch, output).backward()

    def test_adam_trains_it_unless_told_otherwise(self) -> None:
        found = self.network(names(2)).optimization
        assert (found.optimizer, found.learning_rate, found.weight_decay) == ("adam", 1e-3, 1e-4)
        assert (found.beta1, found.beta2, found.warmup, found.schedule) == (0.9, 0.999, 0.0, "constant")
        assert self.network(names(2), optimization=Optimization(learning_rate=0.5)).optimization.learning_rate == 0.5

    def test_a_step_reaches_every_parameter_with_finite_gradients(self) -> None:
        gradients = self.step(self.build(), make_batch(masked=True))
        assert all(gradient.isfinite().all() for gradient in gradients.values())
        silent = [name for name, _ in self.build().named_parameters() if not gradients[name].any()]
        assert silent == []

    def test_prediction_is_deterministic_and_the_same_in_any_batch(self) -> None:
        model, batch = self.build().eval(), make_batch(rows=9)
        with torch.no_grad():
            logits = model({"features": batch["features"]})
            assert logits.shape == (9, LABELS)
            assert torch.equal(model({"features": batch["features"]}), logits)
            alone = torch.cat([model({"features": row[None]}) for row in batch["features"]])
            order = torch.randperm(9)
            shuffled = model({"features": batch["features"][order]})
        assert torch.allclose(alone, logits, atol=1e-5, rtol=0)
        assert torch.allclose(shuffled, logits[order], atol=1e-5, rtol=0)

    def test_labels_play_no_part_in_evaluation(self) -> None:
        model, batch = self.build().eval(), make_batch()
        output = model.outputs(batch)
        assert torch.equal(output.logits, model({"features": batch["features"]}))
        assert torch.equal(model.outputs({**batch, "labels": 1 - batch["labels"]}).logits, output.logits)
        assert output.terms == {}
        assert output.loss_logits is None
        expected = model.loss(output.logits, batch["labels"], batch["label_mask"]) * model.loss_weight
        assert model.objective(batch, output).item() == pytest.approx(expected.item())

    def test_entries_without_annotation_change_nothing(self) -> None:
        model, batch = self.build(), make_batch(masked=True)
        expected = self.step(model, batch)
        # what stands there, and whether there is a whole row of it, in labels and in what the network makes of them
        garbage: Batch = {**batch, "labels": batch["labels"].masked_fill(~batch["label_mask"], 1.0)}
        for name, gradient in self.step(model, garbage).items():
            assert torch.equal(gradient, expected[name]), name
        nothing: Batch = {**batch, "label_mask": torch.zeros_like(batch["label_mask"])}
        assert all(gradient.isfinite().all() for gradient in self.step(model, nothing).values())

    @pytest.mark.parametrize(("rows", "labels"), [(1, LABELS), (6, 1), (1, 1)])
    def test_one_sample_and_one_label(self, rows: int, labels: int) -> None:
        model, batch = self.build(labels), make_batch(rows, labels)
        gradients = self.step(model, batch)
        assert gradients
        assert all(gradient.isfinite().all() for gradient in gradients.values())
        with torch.no_grad():
            assert model.eval()(batch).isfinite().all()

    def test_no_batch_is_too_far_from_the_data(self) -> None:
        model, batch = self.build(), make_batch()
        for size in (1e2, 1e4):
            with torch.no_grad():
                assert model.eval()({"features": size * batch["features"]}).isfinite().all()

    @pytest.mark.parametrize("loss", [MeanSquaredError, SoftMacroF1Loss])
    def test_any_loss_takes_the_place_of_the_published_one(self, loss: Any) -> None:
        model, batch = self.build(loss=loss()), make_batch()
        torch.manual_seed(0)
        output = model.outputs(batch)
        judged = output.logits if output.loss_logits is None else output.loss_logits
        value = loss()(judged, batch["labels"], batch["label_mask"])
        expected = model.loss_weight * value + sum(term.mean() for term in output.terms.values())
        assert model.objective(batch, output).item() == pytest.approx(expected.item(), rel=1e-6)
        assert all(gradient.isfinite().all() for gradient in self.step(model, batch).values())

    def test_the_losses_of_the_samples_make_up_the_objective(self) -> None:
        model, batch = self.build(), make_batch()
        model.train()
        output = model.outputs(batch)
        losses = model.sample_losses(batch, output)
        assert losses.shape == (6,)
        assert not losses.requires_grad
        of_batch = sum(term for term in output.terms.values() if not term.ndim)
        assert (losses.mean() + of_batch).item() == pytest.approx(model.objective(batch, output).item(), rel=1e-5)
        assert self.build(loss=SoftMacroF1Loss()).train().sample_losses(batch, output) is None

    def test_no_sample_has_part_in_the_loss_of_another(self) -> None:
        model, batch = self.build(), make_batch()
        model.train()
        inputs = [batch["features"].requires_grad_(), batch["labels"].requires_grad_()]
        for term in model.outputs(batch).terms.values():
            if term.ndim:
                gradients = torch.autograd.grad(term[2], inputs, retain_graph=True, allow_unused=True)
                reached = torch.stack([part.any(1) for part in gradients if part is not None]).any(0)
                assert reached.tolist() == [False, False, True, False, False, False]

    def test_bfloat16_steps_are_finite_and_close(self) -> None:
        model, batch = self.build(), make_batch()
        exact = model.eval()(batch)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.allclose(model(batch).float(), exact, atol=0.1, rtol=0.1)
            gradients = self.step(model, batch)
        assert all(gradient.isfinite().all() for gradient in gradients.values())

    def test_memory_is_bounded_with_many_labels(self) -> None:
        torch.manual_seed(0)
        model = self.network(names(374))
        model.build(WIDTH, table(50, 5)[1].repeat(1, 75)[:, :374])
        with LargestTensor() as largest:
            self.step(model, make_batch(64, 374))
        assert largest.entries <= self.entries

    def test_a_checkpoint_stands_alone_and_a_run_can_be_resumed(self, trainer: Maker, tmp_path: Path) -> None:
        def fit(epochs: int, path: Path | None = None) -> Trainer:
            torch.manual_seed(0)
            made = trainer(max_epochs=epochs)
            made.fit(self.network(names(LABELS), **self.small), datamodule=TinyTable(batch_size=16), ckpt_path=path)
            made.save_checkpoint(tmp_path / f"{epochs}-{path is None}.ckpt")
            return made

        fit(1)
        unbroken, resumed = fit(2).model.state_dict(), fit(2, tmp_path / "1-True.ckpt").model.state_dict()
        assert unbroken.keys() == resumed.keys()
        assert all(torch.equal(value, resumed[name]) for name, value in unbroken.items())
        trained = fit(2).model.eval()
        loaded = self.network.load_from_checkpoint(tmp_path / "2-True.ckpt").eval()
        features = table(9)[0]
        with torch.no_grad():
            assert torch.equal(loaded({"features": features}), trained({"features": features}))

    def run(self, folder: Path, *words: str) -> Any:
        small = [f"--model.{name}={value}" for name, value in self.small.items()]
        quiet = [f"--trainer.logger.save_dir={folder}", "--trainer.accelerator=cpu", "--figures.every_n_epochs=0"]
        return main(["fit", *words, *small, *quiet, "--trainer.max_epochs=1", "--test_after_fit=false"])

    def test_a_tabular_run_of_the_command_line(self, tmp_path: Path) -> None:
        corpus = f"--data={TinyTable.__module__}.{TinyTable.__qualname__}"
        done = self.run(tmp_path, corpus, f"--model={self.network.__name__}", "--data.batch_size=16")
        assert done.trainer.global_step == 3
        assert 0 <= done.trainer.callback_metrics["val/macro_f1"] <= 1

    def test_a_run_on_texts_of_the_command_line(self, tmp_path: Path) -> None:
        sizes = ["--data.size=64", "--data.val_size=16", "--data.test_size=16", "--data.batch_size=16"]
        features = ["--model.features=Tfidf", "--model.features.width=12"]
        done = self.run(tmp_path, "--data=SyntheticEmotions", *sizes, f"--model={self.network.__name__}", *features)
        texts = done.datamodule.corpus("test").texts
        classified = mlemo.load(tmp_path / "version_0")(texts)
        assert len(classified) == 16
        with torch.no_grad():
            model = done.model.eval()
            expected = model({"features": model.features(texts)}).sigmoid()
        found = torch.tensor([list(one.probabilities.values()) for one in classified])
        assert torch.allclose(found, expected, atol=1e-5)
