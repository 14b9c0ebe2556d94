"""GTHL-Emo's inferences: which neighbors are used when, thresholds for each, and what happens without a memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import mlemo
from mlemo.cli import main
from mlemo.data import Corpus
from mlemo.metrics import MultiLabelMetrics
from mlemo.models import GTHLEmo
from mlemo.runs.predictions import read_predictions
from mlemo.thresholds import PerClassThreshold, rule_from_dict
from mlemo.training import MlemoCLI

from .gthl_tester import ROWS, batch_of, remember

Maker = Callable[..., Any]


@pytest.mark.parametrize(
    ("settings", "names", "prediction"),
    [
        ({"graph_inference": "batch"}, ("batch", "memory"), "memory"),
        ({}, ("memory", "batch"), "memory"),
        ({"graph_inference": "none"}, ("none",), "none"),
        ({"graph": "memory"}, ("memory",), "memory"),
        ({"graph": "none"}, ("none",), "none"),
    ],
)
@pytest.mark.usefixtures("unlogged")
@torch.no_grad()
def test_evaluation_has_all_inferences_of_one_encoding_and_prediction_its_own(
    settings: dict[str, Any],
    names: tuple[str, ...],
    prediction: str,
    gthl: Maker,
    corpus: Corpus,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = remember(gthl(**settings)).eval()
    assert (model.inferences, model.prediction_inference) == (names, prediction)
    batch, encoded = batch_of(model, corpus, ROWS), []
    expected = {name: model.compute(batch, name).logits for name in names}
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda batch: encoded.append(1) or encode(batch))
    for step in (model.validation_step(batch, 0), model.test_step(batch, 0)):
        found = {names[0]: step["logits"], **step.get("other_logits", {})}
        assert list(found) == list(names)
        for name, logits in found.items():
            assert torch.equal(logits, expected[name]), name
    assert len(encoded) == 2
    assert torch.equal(model(batch), expected[names[0]])
    assert torch.equal(model.predict_step(batch, 0)["logits"], expected[prediction])
    if len(names) > 1:
        assert (expected[names[0]] - expected[names[1]]).abs().max() > 1e-3


# thresholds: whole runs -----------------------------------------------------------------------------------------------


WORDS = [
    *["--data=SyntheticEmotions", "--data.size=64", "--data.val_size=40", "--data.test_size=40", "--data.batch_size=8"],
    *["--data.eval_batch_size=8", "--model=GTHLEmo", "--model.encoder=FromScratch", "--model.encoder.layers=1"],
    *["--model.encoder.width=32", "--model.encoder.heads=2", "--model.encoder.vocabulary=300"],
    *["--model.optimization.learning_rate=1e-2", "--thresholds.rule=PerClassThreshold", "--trainer.max_epochs=2"],
    *["--trainer.precision=32-true", "--trainer.accelerator=cpu", "--figures.every_n_epochs=0"],
]


def logger(folder: Path, version: str) -> list[str]:
    place = "--trainer.logger.init_args"
    return [f"{place}.save_dir={folder}", f"{place}.version={version}"]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> MlemoCLI:
    folder = tmp_path_factory.mktemp("runs")
    return main(["fit", *WORDS, "--model.graph_inference=batch", *logger(folder, "fit")])


@pytest.fixture
def checkpoint(fitted: MlemoCLI) -> Path:
    return Path(fitted.trainer.log_dir) / "checkpoints" / "best.ckpt"


def probabilities(model: GTHLEmo, corpus: Corpus, inference: str, size: int = 8) -> Tensor:
    rows = list(range(len(corpus)))
    parts = [batch_of(model, corpus, rows[start : start + size]) for start in range(0, len(rows), size)]
    with torch.no_grad():
        return torch.cat([model.compute(part, inference).logits.sigmoid() for part in parts])


def test_each_inference_is_decided_by_thresholds_that_were_fitted_under_it(
    fitted: MlemoCLI, checkpoint: Path, tmp_path: Path
) -> None:
    classifier, module = mlemo.load(checkpoint), fitted.datamodule
    model, val, test = classifier.model, module.corpus("val"), module.corpus("test")
    stored = torch.load(checkpoint, weights_only=True)["thresholds_by_inference"]
    assert list(stored) == ["batch", "memory"]
    # the probabilities of the memory depend on no batch, so that thresholds and labels can be computed independently
    expected = PerClassThreshold(**stored["memory"]["init_args"])
    expected.fit(probabilities(model, val, "memory"), val.labels, val.mask)
    torch.testing.assert_close(rule_from_dict(stored["memory"]).thresholds(), expected.thresholds())
    assert not torch.equal(rule_from_dict(stored["batch"]).thresholds(), expected.thresholds())
    decided = expected.predict(probabilities(model, test, "memory"))
    names = [" ".join(test.label_space.decode(row)) for row in decided.tolist()]
    # classify, predict and the memory's scores of the test are of these labels
    assert [" ".join(result.labels) for result in classifier(test.texts)] == names
    main(["predict", f"--ckpt_path={checkpoint}", *logger(tmp_path, "predict")])
    predicted = read_predictions(tmp_path / "predict" / "predictions_predict.csv").decided
    assert torch.equal(predicted, decided)
    folder = Path(fitted.trainer.log_dir)
    results = json.loads((folder / "results_test.json").read_text(encoding="utf-8"))
    assert results["inference"] == {"test": "batch", "predict": "memory"}
    for prefix, labels in (("", probabilities(model, test, "memory") >= 0.5), ("tuned_", decided)):
        metrics = MultiLabelMetrics(test.label_space)
        metrics.update(probabilities(model, test, "memory"), test.labels, decisions=labels, mask=test.mask)
        for name in ("jaccard", "macro_f1", *(() if prefix else ("macro_ap",))):
            assert results[f"memory_{prefix}{name}"] == pytest.approx(metrics.compute()[name].item(), abs=1e-5)
    # the other scores are of the batches' graphs, with the thresholds of these
    changed = (read_predictions(folder / "predictions_test.csv").decided != predicted).any(1).float().mean().item()
    assert results["memory_label_changes"] == pytest.approx(changed)
    assert changed > 0
    thresholds = json.loads((folder / "thresholds.json").read_text(encoding="utf-8"))
    assert list(thresholds["thresholds"].values()) == rule_from_dict(stored["batch"]).thresholds().tolist()
    shown = thresholds["other_inferences"]["memory"]["thresholds"]
    assert list(shown.values()) == rule_from_dict(stored["memory"]).thresholds().tolist()


def test_a_test_names_its_inferences_and_takes_the_thresholds_of_the_one_it_uses(
    fitted: MlemoCLI, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    main(["test", f"--ckpt_path={checkpoint}", "--model.graph_inference=memory", *logger(tmp_path, "test")])
    printed = " ".join(capsys.readouterr().out.split())
    for title in ("test at 0.5", "test tuned", "test batch at 0.5", "test batch tuned"):
        assert title in printed
    assert "inference: memory, beside it batch, each with thresholds fitted under it" in printed
    assert "predict and classify use memory" in printed
    before = json.loads((Path(fitted.trainer.log_dir) / "results_test.json").read_text(encoding="utf-8"))
    after = json.loads((tmp_path / "test" / "results_test.json").read_text(encoding="utf-8"))
    assert after["inference"] == {"test": "memory", "predict": "memory"}
    for name in ("jaccard", "tuned_jaccard", "tuned_macro_f1", "macro_ap"):
        assert after[name] == pytest.approx(before[f"memory_{name}"], abs=1e-6)
    assert after["batch_tuned_macro_f1"] == pytest.approx(before["tuned_macro_f1"], abs=1e-6)
    assert after["batch_label_changes"] == before["memory_label_changes"]


# without a memory -----------------------------------------------------------------------------------------------------


def of_0_1_0(checkpoint: Path, path: Path, memory: bool) -> Path:
    """The checkpoint as mlemo 0.1.0 wrote it."""
    content = torch.load(checkpoint, weights_only=True)
    del content["thresholds_by_inference"]
    if not memory:
        del content["memory"]
    torch.save(content, path)
    return path


def test_prediction_without_a_memory_is_refused(
    checkpoint: Path, tmp_path: Path, gthl: Maker, corpus: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    message = "has no memory of training texts, in which texts that are predicted find their neighbors"
    old = of_0_1_0(checkpoint, tmp_path / "old.ckpt", memory=False)
    with pytest.raises(ValueError, match=message), pytest.warns(UserWarning, match="fitted under the inference"):
        main(["predict", f"--ckpt_path={old}", *logger(tmp_path, "predict")])
    with pytest.raises(SystemExit), pytest.warns(UserWarning, match="fitted under the inference"):
        main(["classify", "--ckpt", str(old), "a text"])
    error = " ".join(capsys.readouterr().err.split())
    assert message in error
    assert "mlemo predict --model.graph_inference none" in error
    model = gthl(graph_inference="memory").eval()
    with pytest.raises(ValueError, match=message):
        model(batch_of(model, corpus, ROWS))  # nor is it validated or tested as if it had neighbors
    # what the message proposes
    with pytest.warns(UserWarning, match="fitted under the inference"):
        main(["predict", f"--ckpt_path={checkpoint}", "--model.graph_inference=none", *logger(tmp_path, "none")])
    assert (tmp_path / "none" / "predictions_predict.csv").exists()


def test_thresholds_of_another_inference_come_with_a_warning(checkpoint: Path, tmp_path: Path) -> None:
    old = of_0_1_0(checkpoint, tmp_path / "old.ckpt", memory=True)
    message = "fitted under the inference 'batch', and the model predicts under 'memory'"
    with pytest.warns(UserWarning, match=message):
        classifier = mlemo.load(old)
    stored = torch.load(checkpoint, weights_only=True)["thresholds"]
    assert classifier.rule.state_dict() == stored["state"]
    with pytest.warns(UserWarning, match=message):
        main(["predict", f"--ckpt_path={old}", *logger(tmp_path, "predict")])
    # a test under the batches' graphs has its own thresholds, and no scores of the memory, which has none
    main(["test", f"--ckpt_path={old}", *logger(tmp_path, "test")])
    results = json.loads((tmp_path / "test" / "results_test.json").read_text(encoding="utf-8"))
    assert "tuned_jaccard" in results
    assert not [name for name in results if name.startswith("memory_")]
