"""GTHL-Emo as a whole model: labels, neighbors, settings, and the content of a checkpoint."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import yaml
from lightning.pytorch.callbacks import ModelCheckpoint
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor
from transformers import BertConfig, BertModel

import mlemo
from mlemo.batch import Batch
from mlemo.callbacks import EMAWeights, LossWeightMonitor
from mlemo.cli import main
from mlemo.data import Corpus
from mlemo.losses import (
    BinaryCrossEntropy,
    DynamicWeightAverage,
    FixedWeights,
    GradNorm,
    GTHLController,
    HybridLoss,
    Loss,
    WeightController,
    WeightedDifferenceLoss,
)
from mlemo.models import GTHLEmo, Optimization, TransformerClassifier
from mlemo.models.gthl_emo import Inference
from mlemo.nn.batch_graph import Construction
from mlemo.nn.graph_network import Kind
from mlemo.nn.label_transformer import label_attention
from mlemo.nn.memory_graph import pass_from_memory
from mlemo.thresholds import PerClassThreshold
from mlemo.training import MlemoCLI, instantiate

from .gthl_tester import ROWS, batch_of, remember, with_labels

Maker = Callable[..., Any]
GRAPHS = (*get_args(Construction), "none")
INFERENCES = get_args(Inference)
EXPERIMENTS = sorted((Path(__file__).parents[2] / "configs" / "experiment").glob("gthl_emo_*.yaml"))


# labels --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inference", INFERENCES)
@pytest.mark.parametrize("graph", GRAPHS)
@torch.no_grad()
def test_labels_never_reach_evaluation(graph: Any, inference: Any, gthl: Maker, corpus: Corpus) -> None:
    model = remember(gthl(graph=graph, graph_inference=inference)).eval()
    batch = batch_of(model, corpus, ROWS)
    expected, alone = model(batch), model.predict_logits(batch)
    without: Batch = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids", "index")}
    for changed in (
        with_labels(batch, lambda labels: 1 - labels),
        with_labels(batch, lambda labels: labels.flip(0)),
        with_labels(batch, torch.zeros_like),
        without,
    ):
        assert torch.equal(model(changed), expected)
        assert torch.equal(model.predict_logits(changed), alone)
        assert torch.equal(model.outputs(changed).logits, expected)


@pytest.mark.parametrize("graph", GRAPHS)
@torch.no_grad()
def test_labels_shape_the_graph_of_training_where_the_construction_says_so(
    graph: Any, gthl: Maker, corpus: Corpus
) -> None:
    model = gthl(graph=graph, dropout=0.0, neighbors=1)
    model.encoder.eval()
    batch = batch_of(model, corpus, ROWS)
    torch.manual_seed(0)
    expected = model(batch)
    torch.manual_seed(0)
    changed = model(with_labels(batch, lambda labels: labels.flip(0)))
    assert (not torch.equal(changed, expected)) is (graph in ("mixed", "jaccard"))


# company -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", get_args(Kind))
@pytest.mark.parametrize("settings", [{}, {"threshold": 0.1}, {"depth": 1}, {"graph": "knn", "depth": 3}], ids=str)
@torch.no_grad()
def test_predictions_do_not_depend_on_the_company(settings: dict, network: Kind, gthl: Maker, corpus: Corpus) -> None:
    model = remember(gthl(network=network, **settings)).eval()
    order = [3, 1, 5, 0, 4, 2]
    batch = batch_of(model, corpus, ROWS)
    for inference in ("memory", "none"):
        expected = model.compute(batch, inference).logits
        shuffled = model.compute(batch_of(model, corpus, [ROWS[place] for place in order]), inference).logits
        torch.testing.assert_close(shuffled, expected[order], atol=1e-5, rtol=0)
        alone = torch.cat([model.compute(batch_of(model, corpus, [row]), inference).logits for row in ROWS])
        torch.testing.assert_close(alone, expected, atol=1e-5, rtol=0)
    # what these are compared with: in a batch, texts hear from each other; and the memory is heard
    together = model.compute(batch, "batch").logits
    divided = torch.cat([model.compute(batch_of(model, corpus, ROWS[:3]), "batch").logits, together[3:]])
    assert (divided - together).abs().max() > 1e-3
    assert (model.compute(batch, "memory").logits - model.compute(batch, "none").logits).abs().max() > 1e-3


@pytest.mark.parametrize("network", get_args(Kind))
@torch.no_grad()
def test_a_text_with_its_memory_is_a_text_in_the_graph_of_the_training_texts(
    network: Kind, gthl: Maker, corpus: Corpus, data: Maker, trainer: Maker
) -> None:
    model = gthl(network=network, dropout=0.0)
    with torch.enable_grad():
        trainer().fit(model, datamodule=data(batch_size=8))
    model.eval()
    assert model.memory is not None
    trained = model.compute(batch_of(model, corpus, model.memory.rows.tolist()), "none").embeddings
    torch.testing.assert_close(model.memory.states[0].float(), trained, atol=2e-3, rtol=2e-3)
    asked = model.compute(batch_of(model, data().corpus("test"), list(range(10))), "memory")
    nodes = torch.cat([trained, asked.embeddings])
    unit = torch.nn.functional.normalize(nodes, dim=1)
    similarity = (unit @ unit.T).fill_diagonal_(-2)[:, :23]  # nobody hears from a text that is asked about
    sources = similarity.topk(5, 1).indices
    edges = torch.stack([sources.flatten(), torch.arange(33).repeat_interleave(5)])
    states = model.graph_network(nodes, edges, torch.ones(edges.shape[1]))[23:]
    expected = model.fusion(torch.cat([asked.embeddings, states], 1))
    passed = pass_from_memory(model.graph_network, asked.embeddings, model.memory, neighbors=5)
    found = model.fusion(torch.cat([asked.embeddings, passed], 1))
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0.02)  # the memory is kept in half precision


# the network ---------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_logits_by_hand(gthl: Maker, corpus: Corpus) -> None:
    model = gthl(threshold=0.1).eval()
    batch = batch_of(model, corpus, ROWS)
    reading = model.compute(batch, "batch")
    states = model.encoder(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], token_type_ids=batch["token_type_ids"]
    ).last_hidden_state
    scores = (states @ model.pooling.score.weight[0] + model.pooling.score.bias).masked_fill(
        batch["attention_mask"] == 0, -torch.inf
    )
    kept = scores.topk(5, 1)
    shares = kept.values.softmax(1)
    texts = torch.stack([shares[i] @ states[i, kept.indices[i]] for i in range(len(ROWS))])
    torch.testing.assert_close(reading.embeddings, texts)
    graph = model.linker(texts)
    assert graph.edges.shape[1] > 0
    heard = model.graph_network(texts, graph.edges, torch.ones(graph.edges.shape[1]))
    linear, _, norm = model.fusion
    fused = norm(linear(torch.cat([texts, heard], 1)).clamp(min=0))
    labels = model.label_transformer()
    views = label_attention(labels, states, batch["attention_mask"])[0]
    torch.testing.assert_close(reading.logits, model.head[1](fused) + views)
    torch.testing.assert_close(reading.affinity, (labels @ labels.T / 32**0.5).log_softmax(1))
    assert reading.attention.sum(1).tolist() == pytest.approx([1] * len(ROWS))


def test_parts_can_be_left_out_one_by_one(gthl: Maker, corpus: Corpus) -> None:
    def parts(**settings: Any) -> set[str]:
        model = gthl(**settings)
        reading = model.compute(batch_of(model, corpus, ROWS), "batch")
        assert reading.logits.shape == (6, 5)
        assert (reading.affinity is None) is (model.label_transformer is None)
        assert (reading.graph is None) is (model.linker is None)
        return {name for name, child in model.named_children() if next(child.parameters(), None) is not None}

    every = {"encoder", "loss", "pooling", "linker", "graph_network", "label_transformer", "fusion", "head"}
    assert parts() == every
    assert parts(graph="none") == every - {"linker", "graph_network"}
    assert parts(graph="cosine") == every - {"linker"}
    assert parts(label_layers=None) == every - {"label_transformer"}
    assert parts(loss=HybridLoss()) == every - {"loss"}
    assert parts(label_attention=False) == every
    model = gthl(label_attention=False)
    assert model.compute(batch_of(model, corpus, ROWS), "batch").label_weights is None


def test_every_setting_reaches_its_part(gthl: Maker, corpus: Corpus) -> None:
    settings = {"threshold": None, "percentile": 60.0, "neighbors": 3, "temperature": 0.5}
    model = gthl(**settings, top_k=4, network="gat", depth=3, label_layers=1, dropout=0.3)
    assert {name: getattr(model.linker, name) for name in settings} == settings
    assert gthl(threshold=0.4).linker.threshold == 0.4
    assert model.pooling.top_k == 4
    assert [type(layer).__name__ for layer in model.graph_network.convolutions] == ["GATConv"] * 3
    layers = model.label_transformer.layers
    assert [layer.self_attn.num_heads for layer in layers] == [2]
    for part in (model.graph_network, model.label_transformer, model.head):
        rates = [module.p for module in part.modules() if isinstance(module, torch.nn.Dropout)]
        assert set(rates) == {0.3}, part
    assert layers[0].self_attn.dropout == 0.3


@torch.no_grad()
def test_a_threshold_that_no_text_reaches_leaves_nobody_to_hear_from(gthl: Maker, data: Maker, trainer: Maker) -> None:
    model = gthl(threshold=2.0, graph_inference="memory")
    with torch.enable_grad():
        trainer().fit(model, datamodule=data(batch_size=8))
    model.eval()
    batch = batch_of(model, data().corpus("test"), list(range(6)))
    assert model.memory is not None
    assert torch.equal(model.compute(batch, "memory").logits, model.compute(batch, "none").logits)


@torch.no_grad()
def test_what_is_watched_of_the_graph_is_what_it_is(gthl: Maker, corpus: Corpus) -> None:
    model = gthl(threshold=0.2)
    reading = model.compute(batch_of(model, corpus, ROWS), "batch")
    assert reading.graph is not None
    assert reading.graph.mixture is not None
    heard_from = [[target for target in reading.graph.edges[1].tolist() if target == i] for i in range(len(ROWS))]
    lengths = [len(neighbors) for neighbors in heard_from]
    assert max(lengths) > min(lengths)
    values = {name: float(value) for name, value in model._diagnostics(reading).items()}
    assert values["edges_per_node"] == pytest.approx(sum(lengths) / len(ROWS))
    assert values["isolated_nodes"] == pytest.approx(lengths.count(0) / len(ROWS))
    assert [values["lambda_jaccard"], values["lambda_cosine"]] == pytest.approx(reading.graph.mixture.tolist())
    assert values["lambda_jaccard"] != pytest.approx(values["lambda_cosine"], abs=1e-3)


def test_gradients_reach_every_part(gthl: Maker, corpus: Corpus) -> None:
    model = gthl(dropout=0.0)
    batch = batch_of(model, corpus, ROWS)
    model.objective(batch, model.outputs(batch)).backward()
    reached = {
        name: parameter.grad.abs().sum().item()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    assert set(reached) == {name for name, _ in model.named_parameters()}
    for part in (
        *("linker.lambda_net.0.weight", "linker.lambda_net.2.bias", "loss.controller.network.2.weight"),
        *("graph_network.convolutions.0.aggr_module.logits", "graph_network.convolutions.1.aggr_module.logits"),
        *("graph_network.convolutions.0.aggr_module.aggregations.2.gate_nn.weight", "label_transformer.embeddings"),
        *("pooling.score.weight", "fusion.0.weight", "head.1.weight", "graph_network.convolutions.0.neighbors.weight"),
    ):
        assert reached[part] > 0, part


@pytest.mark.parametrize("labels", [("joy",), ("joy", "anger", "fear")])
@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("settings", [{}, {"threshold": 2.0}, {"network": "gcn"}, {"network": "gat"}], ids=str)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_the_smallest_batches_are_finite(
    labels: tuple[str, ...], rows: int, settings: dict, value: float, gthl: Maker, corpus: Corpus
) -> None:
    model = gthl(labels, **settings)
    batch = batch_of(model, corpus, ROWS[:rows])
    batch["labels"] = torch.full((rows, len(labels)), value)
    batch["label_mask"] = torch.ones(rows, len(labels), dtype=torch.bool)
    loss = model.objective(batch, model.outputs(batch))
    loss.backward()
    assert loss.isfinite()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_mixed_precision(gthl: Maker, corpus: Corpus) -> None:
    for network in get_args(Kind):
        model = remember(gthl(network=network))
        batch = batch_of(model, corpus, ROWS)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model.objective(batch, model.outputs(batch))
            loss.backward()
            assert loss.isfinite()
            assert loss.dtype == torch.float32
            assert model.eval().predict_logits(batch).isfinite().all()


@pytest.mark.parametrize("loss", [BinaryCrossEntropy(), WeightedDifferenceLoss()], ids=lambda loss: type(loss).__name__)
def test_any_loss_goes_with_it(loss: Loss, gthl: Maker, data: Maker, trainer: Maker) -> None:
    run = trainer()
    run.fit(gthl(loss=loss), datamodule=data(batch_size=8))
    assert run.global_step == 3


def test_its_loss_goes_with_any_model(classifier: Maker, data: Maker, trainer: Maker) -> None:
    model: TransformerClassifier = classifier(loss=HybridLoss())
    with pytest.warns(UserWarning, match="LabelCorrelationLoss is a loss of whole batches"):
        trainer(accumulate_grad_batches=2).fit(model, datamodule=data(batch_size=8))
    assert isinstance(model.loss, HybridLoss)
    assert len(set(model.loss.terms["focal"].alpha.tolist())) > 1, "the loss has seen the training labels"
    assert model.loss.terms["focal"].jaccard > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"memory_rows": 0}, r"memory_rows must be at least 1 where model.graph is 'mixed' .* is 'memory', found 0"),
        ({"graph": "memory", "memory_rows": 0}, r"memory_rows must be at least 1 where model.graph is 'memory'"),
        ({"graph_inference": "batch", "memory_rows": -1}, r"at least 0 where .* is 'batch', found -1"),
        ({"graph": "memory", "graph_inference": "batch"}, "model.graph is 'memory', which links no texts of a batch"),
        ({"neighbor_labels": True}, "model.neighbor_labels needs model.graph: memory, found 'mixed'"),
        ({"graph": "full"}, "the graph is one of mixed"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str, gthl: Maker) -> None:
    with pytest.raises(ValueError, match=message):
        gthl(**settings)


# the memory and the checkpoint ---------------------------------------------------------------------------------------


def test_the_memory_is_bounded_and_can_be_left_out(gthl: Maker, data: Maker, trainer: Maker) -> None:
    for rows, expected in ((7, 7), (100, 23)):
        model = gthl(memory_rows=rows)
        trainer().fit(model, datamodule=data(batch_size=8))
        assert model.memory is not None
        assert model.memory.states.shape == (2, expected, 32)
        assert len(set(model.memory.rows.tolist())) == expected
    for settings in ({"memory_rows": 0, "graph_inference": "batch"}, {"graph": "none", "memory_rows": 0}):
        model = gthl(**settings)
        run = trainer()
        run.fit(model, datamodule=data(batch_size=8))
        assert model.memory is None


def test_the_memory_survives_the_checkpoint_and_goes_with_the_averaged_weights(
    gthl: Maker, data: Maker, trainer: Maker, tmp_path: Path
) -> None:
    fast = Optimization(learning_rate=0.02, warmup=0.0, schedule="constant")
    model = gthl(graph_inference="memory", optimization=fast)
    keep = ModelCheckpoint(tmp_path, "best")
    run = trainer(callbacks=[EMAWeights(decay=0.5), keep], max_epochs=2, enable_checkpointing=True)
    run.fit(model, datamodule=data(batch_size=8))
    saved = torch.load(tmp_path / "best.ckpt", weights_only=True)
    classifier = mlemo.load(tmp_path)
    loaded = classifier.model
    assert isinstance(loaded, GTHLEmo)
    assert loaded.memory is not None
    assert torch.equal(loaded.memory.states, saved["memory"]["states"])
    corpus = data().corpus("train")

    def embeddings(of: GTHLEmo) -> Tensor:
        with torch.no_grad():
            return of.eval().compute(batch_of(of, corpus, loaded.memory.rows.tolist()), "none").embeddings

    torch.testing.assert_close(loaded.memory.states[0].float(), embeddings(loaded), atol=2e-3, rtol=2e-3)
    trained = gthl()
    trained.load_state_dict(saved["current_model_state"])
    assert (loaded.memory.states[0].float() - embeddings(trained)).abs().max() > 0.01, "weights were hardly averaged"
    # what classifies a text uses the memory
    texts = data().corpus("test").texts
    with torch.no_grad():
        batch = batch_of(loaded, data().corpus("test"), list(range(len(texts))))
        expected = {inference: loaded.compute(batch, inference).logits.sigmoid() for inference in ("memory", "none")}
    found = classifier.probabilities(texts)
    torch.testing.assert_close(found, expected["memory"], atol=1e-5, rtol=0)
    assert (found - expected["none"]).abs().max() > 1e-3
    alone = torch.cat([classifier.probabilities([text]) for text in texts])
    torch.testing.assert_close(alone, found, atol=1e-5, rtol=0)


def test_a_checkpoint_without_a_memory_clears_it(gthl: Maker) -> None:
    model = remember(gthl())
    checkpoint: dict[str, Any] = {}
    gthl().on_save_checkpoint(checkpoint)
    assert "memory" not in checkpoint
    model.on_load_checkpoint({**checkpoint, "state_dict": model.state_dict()})
    assert model.memory is None


def test_parameters_part_by_part_at_the_published_size() -> None:
    """MARBERT's size without its weights; the paper has 170.34 M, of which 162.84 M are MARBERT with its pooler."""
    model = GTHLEmo([f"label {number}" for number in range(11)], loss=HybridLoss(controller=GTHLController()))
    with torch.device("meta"):
        model.encoder = BertModel(BertConfig(vocab_size=100_000), add_pooling_layer=False)
        model.build_head(768)
    counts = {name: sum(p.numel() for p in child.parameters()) for name, child in model.named_children()}
    width, labels = 768, 11
    layer = 2 * width * width + width + (width + 1) + 3 + 2 * width
    assert {name: count for name, count in counts.items() if count} == {
        "encoder": 162_250_752,  # and 0.59 M of the pooler, which has no use here, are the paper's 162.84 M
        "pooling": width + 1,
        "linker": 3 * 16 + 16 + 16 * 2 + 2,
        "graph_network": 2 * layer,  # the paper's ablation saves 1.18 M: two matrices of this size, for two layers
        "label_transformer": 6_314_752,  # the paper: 170.34 − 164.03 = 6.31
        "fusion": 2 * width * width + width + 2 * width,
        "head": width * labels + labels,
        "loss": 3 * 16 + 16 + 16 * 3 + 3,
    }
    assert sum(counts.values()) == 172_122_345
    assert counts["encoder"] + width * width + width == pytest.approx(162.84e6, abs=0.01e6)


# commands and configs ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> MlemoCLI:
    return main([*words(tmp_path_factory.mktemp("run")), "--trainer.max_epochs=2"])


def words(folder: Path) -> list[str]:
    return [
        *["fit", "--data=SyntheticEmotions", "--data.language=arabic", "--data.min_words=3"],
        *["--data.size=40", "--data.val_size=12", "--data.test_size=12", "--data.batch_size=8"],
        *["--model=GTHLEmo", "--model.encoder=FromScratch", "--model.encoder.layers=1", "--model.encoder.width=32"],
        *["--model.encoder.heads=2", "--model.encoder.vocabulary=300", "--model.cleaning=ArabicTweets"],
        # a constant rate, so that the first half of a run does not depend on how long the run is
        *["--model.optimization.learning_rate=1e-3", "--model.optimization.warmup=0"],
        *["--model.optimization.schedule=constant", "--trainer.callbacks+=EMAWeights"],
        *["--trainer.callbacks+=GTHLFigures", "--trainer.callbacks.texts=20"],
        *["--trainer.log_every_n_steps=1", "--trainer.precision=32-true", "--trainer.accelerator=cpu"],
        *[f"--trainer.default_root_dir={folder}", f"--trainer.logger.init_args.save_dir={folder}"],
    ]


def test_a_run_shows_what_moves(fitted: MlemoCLI) -> None:
    folder = Path(fitted.trainer.log_dir)
    events = EventAccumulator(str(folder))
    events.Reload()
    shown = set(events.Tags()["scalars"])
    wanted = {f"{kind}/{name}" for kind in ("loss", "weight") for name in ("bce", "focal", "ranking", "correlation")}
    wanted |= {f"model/{name}" for name in ("edges_per_node", "isolated_nodes", "lambda_jaccard", "lambda_cosine")}
    wanted |= {f"model/aggregation_{layer}_{name}" for layer in (0, 1) for name in ("mean", "max", "attention")}
    assert wanted <= shown
    steps = [event.step for event in events.Scalars("weight/focal")]
    assert steps == list(range(10))
    assert [image.step for image in events.Images("label_affinity")] == [5, 10]
    embeddings = [path.read_text(encoding="utf-8").splitlines() for path in sorted(folder.rglob("0*/**/*.tsv"))]
    described, vectors = embeddings
    assert described[0] == "labels\ttext"
    assert len(described) == len(vectors) + 1 == 21
    assert len(vectors[0].split("\t")) == 32
    mixture = [sum(event.value for event in events.Scalars(f"model/lambda_{part}")) for part in ("jaccard", "cosine")]
    assert sum(mixture) == pytest.approx(10)


def test_its_checkpoint_is_tested_and_classifies(fitted: MlemoCLI, tmp_path: Path) -> None:
    checkpoint = Path(fitted.trainer.log_dir) / "checkpoints" / "best.ckpt"
    tested = main(["test", f"--ckpt_path={checkpoint}", f"--trainer.logger.init_args.save_dir={tmp_path}"])
    for name, value in tested.trainer.callback_metrics.items():
        if name.startswith("test/"):
            assert value == pytest.approx(fitted.trainer.callback_metrics[name], nan_ok=True)
    assert tested.model.memory is not None
    texts = ["أنا سعيد جدا اليوم 😂", "لا أحب هذا أبدا", ""]
    results = main(["classify", "--ckpt", str(checkpoint), "--json", *texts])
    assert [result.text for result in results] == texts
    assert mlemo.load(checkpoint)(texts) == results
    assert mlemo.load(checkpoint)(texts[1]).probabilities == pytest.approx(results[1].probabilities, abs=1e-5)


def test_a_resumed_run_equals_an_unbroken_one(fitted: MlemoCLI, tmp_path: Path) -> None:
    half = main([*words(tmp_path), "--trainer.max_epochs=1", "--test_after_fit=false"])
    last = Path(half.trainer.log_dir) / "checkpoints" / "last.ckpt"
    main(["fit", f"--ckpt_path={last}", "--trainer.max_epochs=2", "--test_after_fit=false"])
    resumed = torch.load(last, weights_only=True)
    unbroken = torch.load(Path(fitted.trainer.log_dir) / "checkpoints" / "last.ckpt", weights_only=True)
    assert resumed["global_step"] == unbroken["global_step"] == 10
    for part in ("state_dict", "current_model_state", "memory"):
        assert resumed[part].keys() == unbroken[part].keys()
        for name, tensor in unbroken[part].items():
            assert torch.equal(resumed[part][name], tensor), (part, name)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_experiments_have_the_values_of_table_2(path: Path) -> None:
    built = instantiate(["--config", str(path), "--trainer.accelerator=cpu", "--trainer.logger=false"])
    model, small = built.model, "exaaec" not in path.stem
    assert isinstance(model, GTHLEmo)
    settings = model.optimization
    assert (settings.optimizer, settings.learning_rate) == ("adamw", 1e-5 if small else 2e-5)
    assert (settings.weight_decay, settings.warmup, settings.schedule) == (0.02, 0.0, "constant")
    assert (model.max_length, model.top_k, model.neighbors, model.depth) == (128, 5, 5, 2)
    assert model.temperature == 0.07
    assert (model.network, model.graph, model.graph_inference) == ("sage", "mixed", "batch")
    assert (model.label_layers, model.label_heads) == (2, 8)
    assert model.dropout == (0.1 if "semeval2018" in path.stem else 0.3)
    assert type(model.cleaning).__name__ == "ArabicTweets"
    assert built.datamodule.batch_size == built.datamodule.eval_batch_size == (2 if small else 8)
    assert built.datamodule.min_words == 3
    assert (built.trainer.max_epochs, built.trainer.gradient_clip_val) == (20, 1.0)
    assert isinstance(model.loss, HybridLoss)
    assert isinstance(model.loss.controller, GTHLController)
    assert model.loss.controller.base.tolist() == pytest.approx([0.1, 0.1, 0.1])
    assert model.loss.controller.smoothing == 0.95
    assert model.loss.cross_entropy.balanced, "class weights: weighted"
    callbacks = {type(callback).__name__: callback for callback in built.trainer.callbacks}
    assert (callbacks["EMAWeights"].decay, callbacks["EMAWeights"].warmup) == (0.999, False), "eq. 20"
    assert "GTHLFigures" in callbacks
    rule = callbacks["ThresholdTuning"].rule
    assert isinstance(rule, PerClassThreshold)
    assert (rule.metric, rule.method, rule.shrinkage, rule.cross_fit) == ("f1", "exact", 0.0, 0), "eq. 21"
    assert (callbacks["EarlyStopping"].monitor, callbacks["EarlyStopping"].patience) == ("val/jaccard", 7)
    checkpoints = [callback for callback in built.trainer.callbacks if type(callback).__name__ == "BestCheckpoint"]
    assert [checkpoint.monitor for checkpoint in checkpoints] == ["val/jaccard"]


def switches() -> list[str]:
    """The one-line settings that the comments of the experiment files name, with every value in brackets."""
    found = []
    for line in EXPERIMENTS[0].read_text(encoding="utf-8").splitlines():
        for name, value, others in re.findall(r"(--model[\w.]+) ([\w.]+)(?: \(([^)]*)\))?", line):
            if name.startswith("--model.loss.") and others:
                prefix = name.rpartition(".")[0]
                found += [f"{name} {value}", *(f"{prefix}.{other} {value}" for other in others.split(", "))]
            else:
                found += [f"{name} {option}" for option in [value, *(others.split(", ") if others else [])]]
    return found


@pytest.mark.parametrize("switch", switches())
def test_every_switch_of_the_experiment_files_is_one_setting(switch: str) -> None:
    quiet = ["--trainer.accelerator=cpu", "--trainer.logger=false"]
    built = instantiate(["--config", str(EXPERIMENTS[0]), *shlex.split(switch), *quiet])
    name, value = switch.removeprefix("--model.").split(" ")
    expected = yaml.safe_load(value)
    if name.startswith("loss."):
        loss, term = built.model.loss, name.removeprefix("loss.")
        weights = dict(zip(loss.names, loss.controller.base.tolist()))
        if term == "controller":
            assert isinstance(loss.controller, FixedWeights)
        elif term == "controller.smoothing":
            assert loss.controller.smoothing == expected
        else:
            assert weights.get(term, 0) == pytest.approx(expected)
    else:
        assert getattr(built.model, name) == expected


def test_all_switches_are_found() -> None:
    assert len(EXPERIMENTS) == 3
    comments = {path.read_text(encoding="utf-8").split("seed_everything")[0].partition("\n")[2] for path in EXPERIMENTS}
    assert len(comments) == 1, "the three files name the same switches"
    assert len(switches()) == 20


@pytest.mark.parametrize("controller", [GTHLController, GradNorm, DynamicWeightAverage])
def test_the_monitor_writes_the_weights_that_were_used(
    controller: type[WeightController], gthl: Maker, data: Maker, trainer: Maker, tmp_path: Path
) -> None:
    loss = HybridLoss(controller=controller())
    seen: list[float] = []
    forward = loss.forward

    def record(*args: Any, **kwargs: Any) -> Tensor:
        value = forward(*args, **kwargs)
        seen.append(value.item())
        return value

    loss.forward = record  # type: ignore[method-assign]
    run = trainer(callbacks=LossWeightMonitor(), limit_val_batches=0, max_epochs=4)
    fast = Optimization(learning_rate=1e-2, loss_learning_rate=1.0)
    run.fit(gthl(loss=loss, optimization=fast), datamodule=data(batch_size=8))
    header, *rows = (tmp_path / "loss_weights.csv").read_text().splitlines()
    names = [name.removeprefix("loss/") for name in header.split(",") if name.startswith("loss/")]
    for row, expected in zip(rows, seen, strict=True):
        values = dict(zip(header.split(","), map(float, row.split(","))))
        total = sum(values[f"loss/{name}"] * values[f"weight/{name}"] for name in names)
        assert total == pytest.approx(expected, rel=1e-5)
    moved = [abs(values[f"weight/{name}"] - 0.1) for name in names if name != "bce"]
    assert min(moved) > 1e-6
