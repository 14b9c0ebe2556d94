"""Exports to ONNX: the probabilities of the model for any batch, and in 8 bits only if decisions hold."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import mlemo
from mlemo.cli import main
from mlemo.export import export as module
from mlemo.export.int8 import write_int8
from mlemo.inference import Classifier
from mlemo.thresholds import FixedThreshold

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

TEXT = "we had such a good day anger fear of what may come tomorrow or never again"
TEXTS = [TEXT[start : start + length] for start in range(5) for length in (0, 2, 9, 33, 70)] + ["sea " * 99]


def decided(classifier: Classifier, texts: list[str]) -> list[list[str]]:
    return [result.labels for result in classifier(texts)]


def export(run: Path, *words: str) -> Path:
    folder: Path = main(["export", str(run), "--output", str(run.parent / "exported"), *words])
    return folder


LONG = pytest.mark.skipif("MLEMO_LONG" not in os.environ, reason="some seconds a graph: MLEMO_LONG=1 makes them all")


@pytest.fixture(scope="session")
def whole(kept: Path) -> Path:
    """Place of an export with graphs in 32 and 8 bits, which is made once."""
    return kept / "graphs"


@pytest.fixture
def graphs(
    trained: Callable[[str], Path], whole: Path, data: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The export of a plain classifier with graphs in 32 and 8 bits; the decisions of half of the labels may differ."""
    if not whole.exists():
        monkeypatch.setattr(module, "corpus_of", lambda _, split, trust: data().corpus(split))
        main(["export", str(trained("classifier")), "--output", str(whole), "--int8", "--agreement", "0.5"])
    return whole


def agree(folder: Path) -> None:
    expected, found = mlemo.load(folder), mlemo.load(folder, runtime="onnx")
    assert found.labels == expected.labels
    assert type(found.rule) is type(expected.rule)
    for size in (1, 3, 64):
        expected.batch_size = found.batch_size = size
        for texts in (TEXTS, TEXTS[:1], TEXTS[-1:], []):
            probabilities = expected.probabilities(texts)
            torch.testing.assert_close(found.probabilities(texts), probabilities, atol=1e-4, rtol=0)
            assert decided(found, texts) == decided(expected, texts)


def test_the_graph_gives_the_probabilities_of_the_model_for_any_batch(graphs: Path) -> None:
    agree(graphs)


@pytest.mark.parametrize(
    "name",
    ["order-free prompt", *(pytest.param(name, marks=LONG) for name in ("frozen encoder", "graph", "convolutions"))],
)
def test_graphs_of_other_models(name: str, trained: Callable[[str], Path]) -> None:
    agree(export(trained(name), "--onnx"))


def test_the_graph_alone_takes_tokens_and_gives_probabilities(graphs: Path) -> None:
    session = onnxruntime.InferenceSession(graphs / "model.onnx", providers=["CPUExecutionProvider"])
    assert [each.shape for each in session.get_inputs()] == [["batch", "tokens"]] * 3
    classifier = mlemo.load(graphs)
    tokens = classifier.model.tokenizer(TEXTS, padding=True, truncation=True, max_length=128, return_tensors="np")
    tokens["token_type_ids"] = np.zeros_like(tokens["input_ids"])
    inputs = {each.name: tokens[each.name] for each in session.get_inputs()}
    probabilities = torch.from_numpy(session.run(["probabilities"], inputs)[0])
    torch.testing.assert_close(probabilities, classifier.probabilities(TEXTS), atol=1e-4, rtol=0)


def test_a_changed_graph_is_refused(graphs: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(graphs, tmp_path / "changed"))
    with (folder / "model.onnx").open("r+b") as file:
        file.seek(-20, os.SEEK_END)
        file.write(b"\0")
    with pytest.raises(ValueError, match=r"model\.onnx .* has another SHA-256"):
        mlemo.load(folder, runtime="onnx")


@LONG
@pytest.mark.parametrize("runtime", ["onnx", "int8"])
def test_classify_runs_the_graph(graphs: Path, tmp_path: Path, runtime: str) -> None:
    (tmp_path / "in.txt").write_text("\n".join(text or "sea" for text in TEXTS))
    words = ["classify", "--ckpt", str(graphs), "--file", str(tmp_path / "in.txt")]
    main([*words, "--output", str(tmp_path / "out.jsonl"), "--runtime", runtime])
    found = pd.read_json(tmp_path / "out.jsonl", lines=True)["probabilities"].apply(pd.Series)
    classifier = mlemo.load(graphs, runtime=runtime)
    expected = classifier.probabilities([text or "sea" for text in TEXTS])
    torch.testing.assert_close(
        torch.tensor(found[list(classifier.labels)].to_numpy()).float(), expected, atol=2e-4, rtol=0
    )
    plain = mlemo.load(graphs).probabilities([text or "sea" for text in TEXTS])
    assert (runtime == "int8") == bool((plain - expected).abs().max() > 1e-4)


def test_a_network_that_onnx_does_not_know_is_refused(
    bert_wdl: Callable[..., Any], trainer: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trainer()
    run.strategy.connect(bert_wdl(evaluation_orders=2))
    run.save_checkpoint(tmp_path / "run" / "last.ckpt")
    with pytest.raises(SystemExit):
        export(tmp_path / "run", "--onnx")
    assert "this BertWDL cannot be exported to ONNX" in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "exported").exists()


def test_a_folder_or_run_without_a_graph_has_no_such_runtime(exported: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"model\.onnx is not there; `mlemo export --onnx` writes it"):
        mlemo.load(exported, runtime="onnx")
    with pytest.raises(ValueError, match="is no folder of `mlemo export --onnx`"):
        mlemo.load(exported.parent / "run", runtime="onnx")


def test_8_bits_are_near(graphs: Path, data: Callable[..., Any]) -> None:
    texts = data().corpus("val").texts
    difference = mlemo.load(graphs, runtime="int8").probabilities(texts) - mlemo.load(graphs).probabilities(texts)
    assert 0 < difference.abs().max() < 0.1


def test_8_bits_with_other_decisions_are_refused_with_their_share(graphs: Path, data: Callable[..., Any]) -> None:
    texts, classifier = data().corpus("val").texts, mlemo.load(graphs)
    probabilities = classifier.probabilities(texts)
    changed = mlemo.load(graphs, runtime="int8").probabilities(texts)
    between = ((probabilities + changed) / 2)[0, 0].item()  # a threshold that one probability crosses
    classifier.rule = FixedThreshold(between)
    equal = ((probabilities >= between) == (changed >= between)).float().mean().item()
    assert equal < 1
    with pytest.raises(ValueError, match=f"a share of {equal:.4f} is equal .* at least 1 is expected"):
        write_int8(graphs, classifier, texts, 1.0)
    write_int8(graphs, classifier, texts, equal)


def test_8_bits_are_checked_on_the_validation_split(trained: Any, monkeypatch: pytest.MonkeyPatch, data: Any) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(module, "corpus_of", lambda _, split, trust: data().corpus(split))
    monkeypatch.setattr(module, "write_onnx", lambda *_: None)
    monkeypatch.setattr(module, "write_int8", lambda _folder, _classifier, *rest: seen.append(rest))
    export(trained("classifier"), "--int8")
    assert seen == [(data().corpus("val").texts, 0.999)]
