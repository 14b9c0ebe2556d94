"""A trained checkpoint as a function, and as `mlemo classify`."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer

import mlemo
from mlemo.callbacks import EMAWeights, LabelShuffle, ThresholdTuning
from mlemo.cli.classify import main as classify
from mlemo.data import Corpus, TokenizedCorpus
from mlemo.inference import Classified, Classifier, load
from mlemo.losses import WeightedDifferenceLoss
from mlemo.models import FrozenHead
from mlemo.nn.frozen_encoder import FrozenEncoder
from mlemo.nn.tfidf import Tfidf
from mlemo.thresholds import FixedThreshold, PerClassThreshold

Maker = Callable[..., Any]
TEXTS = [
    "we had such a good day",
    "anger",
    "",
    "why not now or never again it rained on the old house",
    "fear of the sea",
]


def by_hand(model: Any, texts: list[str]) -> torch.Tensor:
    """Probabilities, one text at a time."""
    rows = []
    for text in texts:
        corpus = Corpus(model.label_space, torch.zeros(1, len(model.label_space)), ["0"], [text])
        with torch.no_grad():
            rows.append(model.eval()(TokenizedCorpus(corpus, model.data_input)[0]).sigmoid())
    return torch.cat(rows)


@pytest.fixture(params=["classifier", "bert_wdl"])
def trained(request: pytest.FixtureRequest, data: Maker, trainer: Maker, tmp_path: Path) -> tuple[Any, Trainer, Path]:
    """A model trained for two short epochs, its trainer, and the folder with its checkpoint."""
    words = ["happy", "good day", "rain", "never", "sea"]
    settings = {"prompt": "words", "label_words": words} if request.param == "bert_wdl" else {}
    model = request.getfixturevalue(request.param)(loss=WeightedDifferenceLoss(order=2), **settings)
    shuffle = [LabelShuffle(k=2)] if request.param == "bert_wdl" else []
    run = trainer(callbacks=[ThresholdTuning(), EMAWeights(decay=0.5), *shuffle], max_epochs=2)
    run.fit(model, datamodule=data(batch_size=8))
    folder = tmp_path / "run"
    run.save_checkpoint(folder / "checkpoints" / "best.ckpt")
    return model, run, folder


def test_a_checkpoint_gives_the_probabilities_of_the_model_in_memory(trained: tuple[Any, Trainer, Path]) -> None:
    model, _, folder = trained
    expected = by_hand(model, TEXTS)
    for path in (folder, str(folder), folder / "checkpoints" / "best.ckpt"):
        classifier = load(path)
        assert type(classifier.model) is type(model)
        assert not classifier.model.training
        torch.testing.assert_close(classifier.probabilities(TEXTS), expected, atol=1e-5, rtol=0)
    assert mlemo.load is load


def test_results_are_named_in_label_order_and_decided_by_the_fitted_rule(trained: tuple[Any, Trainer, Path]) -> None:
    model, run, folder = trained
    classifier = load(folder)
    names = model.label_space.names
    rule = next(callback for callback in run.callbacks if isinstance(callback, ThresholdTuning)).rule
    assert isinstance(classifier.rule, PerClassThreshold)
    assert classifier.rules == {"forward": classifier.rule}
    assert torch.equal(classifier.rule.thresholds(), rule.thresholds())
    assert len(set(rule.thresholds().tolist())) > 1
    probabilities = by_hand(model, TEXTS)
    results = classifier(TEXTS)
    assert classifier.labels == names
    for text, row, result in zip(TEXTS, probabilities, results, strict=True):
        assert result.text == text
        assert list(result.probabilities) == list(names)
        assert list(result.probabilities.values()) == pytest.approx(row.tolist(), abs=1e-5)
        assert result.labels == [name for name, value, cut in zip(names, row, rule.thresholds()) if value >= cut]


def test_one_text_is_one_result_and_a_list_a_list(classifier: Maker) -> None:
    classify_all = Classifier(classifier(), FixedThreshold(0.5), batch_size=2)
    together = classify_all(TEXTS)
    assert [result.text for result in together] == TEXTS
    for text, result in zip(TEXTS, together):
        alone = classify_all(text)
        assert isinstance(alone, Classified)
        assert alone.labels == result.labels
        assert alone.probabilities == pytest.approx(result.probabilities, abs=1e-5)
    assert classify_all(tuple(TEXTS)) == together
    assert classify_all([]) == []
    assert classify_all.probabilities([]).shape == (0, 5)


@pytest.mark.parametrize("kind", ["classifier", "bert_wdl"])
def test_a_batch_holds_so_many_tokens(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = request.getfixturevalue(kind)(**({"prompt": "words"} if kind == "bert_wdl" else {}))
    texts = [*TEXTS, *(" ".join(["day"] * count) for count in range(1, 13))]
    expected, sizes, original = by_hand(model, texts), [], model.predict_logits

    def predict_logits(batch: Any) -> torch.Tensor:
        sizes.append(batch["input_ids"].shape)
        return original(batch)

    monkeypatch.setattr(model, "predict_logits", predict_logits)
    most = 150 if kind == "bert_wdl" else 40
    found = Classifier(model, FixedThreshold(0.5), batch_size=4, batch_tokens=most).probabilities(texts)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert sum(rows for rows, _ in sizes) == len(texts)
    assert all(rows <= 4 and (rows * tokens <= most or rows == 1) for rows, tokens in sizes)
    assert 4 in {rows for rows, _ in sizes}


@pytest.mark.parametrize("threshold", [0.0, 0.45, 1.0])
def test_the_rule_is_applied(threshold: float, classifier: Maker) -> None:
    model = classifier()
    result = Classifier(model, FixedThreshold(threshold))(TEXTS[0])
    expected = [
        name for name, value in zip(model.label_space.names, by_hand(model, TEXTS[:1])[0]) if value >= threshold
    ]
    assert result.labels == expected


@pytest.mark.parametrize(("texts", "found"), [(3, "int"), (["a", None], "NoneType: None"), ([b"a"], "bytes")])
def test_something_else_than_text_is_refused(texts: Any, found: str, classifier: Maker) -> None:
    with pytest.raises(TypeError, match=found if isinstance(texts, list) else "not iterable"):
        Classifier(classifier(), FixedThreshold(0.5))(texts)


def test_a_checkpoint_without_thresholds_decides_at_one_half(classifier: Maker, trainer: Maker, tmp_path: Path) -> None:
    model = classifier()
    run = trainer()
    run.strategy.connect(model)
    run.save_checkpoint(tmp_path / "last.ckpt")
    loaded = load(tmp_path)
    assert isinstance(loaded.rule, FixedThreshold)
    assert loaded.rule.threshold == 0.5


def test_a_checkpoint_stands_alone(pretrained: Path, bert_wdl: Maker, trainer: Maker, tmp_path: Path) -> None:
    """The folder that the encoder came from may be gone."""
    import shutil

    folder = tmp_path / "encoder"
    shutil.copytree(pretrained, folder)
    model = bert_wdl(encoder=str(folder))
    run = trainer()
    run.strategy.connect(model)
    run.save_checkpoint(tmp_path / "last.ckpt")
    expected = by_hand(model, TEXTS)
    shutil.rmtree(folder)
    torch.testing.assert_close(load(tmp_path).probabilities(TEXTS), expected, atol=1e-5, rtol=0)


# what cannot be loaded ------------------------------------------------------------------------------------------


def changed(path: Path, **keys: Any) -> None:
    checkpoint = torch.load(path, weights_only=True)
    checkpoint.update(keys)
    torch.save({key: value for key, value in checkpoint.items() if value is not None}, path)


@pytest.mark.parametrize(
    ("model_class", "message"),
    [
        (None, "does not name its model class; it was not written by a model of mlemo"),
        (
            "mlemo.models.transformer.Transformer",
            r"the stored model 'mlemo.models.transformer.Transformer' does not exist: .* has no class 'Transformer'",
        ),
        ("no_such_module.Model", ".*'no_such_module.Model' is of a module .* not imported; .* --trust no_such_module"),
        (
            "mlemo.models.base.MultiLabelModel",
            "holds a mlemo.models.base.MultiLabelModel, which is no model of mlemo",
        ),
        ("mlemo.labels.LabelSpace", "holds a mlemo.labels.LabelSpace, which is no model of mlemo"),
    ],
)
def test_other_models_are_refused(
    model_class: str | None, message: str, classifier: Maker, trainer: Maker, tmp_path: Path
) -> None:
    run = trainer()
    run.strategy.connect(classifier())
    run.save_checkpoint(tmp_path / "last.ckpt")
    changed(tmp_path / "last.ckpt", model_class=model_class)
    with pytest.raises(ValueError, match=rf"last\.ckpt:? {message}"):
        load(tmp_path)


def test_missing_and_damaged_checkpoints_are_named(trained: tuple[Any, Trainer, Path]) -> None:
    folder = trained[2]
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*nowhere: there is no such file or folder"):
        load(folder / "nowhere")
    path = folder / "checkpoints" / "best.ckpt"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"best\.ckpt \(5,000 bytes\) cannot be read as a checkpoint"):
        load(folder)


# the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(classifier: Maker, trainer: Maker, tmp_path: Path) -> Path:
    run = trainer()
    run.strategy.connect(classifier())
    run.save_checkpoint(tmp_path / "best.ckpt")
    return tmp_path


def test_sentences_as_a_table(folder: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    results = classify(["--ckpt", str(folder), "fear of the sea", "a good day"])
    assert results == load(folder)(["fear of the sea", "a good day"])
    printed = capsys.readouterr().out
    assert "fear of the sea" in printed
    best = max(results[0].probabilities.items(), key=lambda item: item[1])
    assert f"{best[1]:.3f} {best[0]}" in printed


@pytest.fixture
def over_features(data: Maker, trainer: Maker, tmp_path: Path, pretrained: Path) -> Callable[..., Path]:
    """Maker of a folder with the checkpoint of a head over features: ``over_features(Tfidf(width=9))``."""

    def make(features: Any) -> Path:
        module = data(batch_size=8)
        run = trainer(callbacks=[ThresholdTuning()])
        run.fit(FrozenHead(module.label_space, features), datamodule=module)
        run.save_checkpoint(tmp_path / "last.ckpt")
        return tmp_path

    return make


def test_sentences_are_classified_by_a_head_over_features(
    over_features: Callable[..., Path], pretrained: Path, capsys: pytest.CaptureFixture
) -> None:
    for features in (Tfidf(width=9), FrozenEncoder(str(pretrained), bf16=False, cache=False)):
        folder = over_features(features)
        together = classify(["--ckpt", str(folder), "--json", *TEXTS])
        assert json.loads(capsys.readouterr().out.splitlines()[0])["text"] == TEXTS[0]
        model = load(folder).model
        vectors = features(TEXTS)
        assert torch.equal(model.features(TEXTS), vectors)
        expected = model({"features": vectors}).sigmoid()
        assert (expected.std(0) > 0).all()
        for result, row, text in zip(together, expected, TEXTS, strict=True):
            assert list(result.probabilities.values()) == pytest.approx(row.tolist(), abs=1e-5)
            (alone,) = classify(["--ckpt", str(folder), "--json", text])
            assert alone.probabilities == pytest.approx(result.probabilities, abs=1e-5)
            assert alone.labels == result.labels


def test_a_missing_encoder_ends_with_a_message(
    over_features: Callable[..., Path], pretrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    import shutil

    shutil.copytree(pretrained, tmp_path / "encoder")
    folder = over_features(FrozenEncoder(str(tmp_path / "encoder"), cache=False))
    shutil.rmtree(tmp_path / "encoder")
    with pytest.raises(SystemExit) as error:
        classify(["--ckpt", str(folder), "a day"])
    assert error.value.code == 2
    assert "is neither a local folder in the hub's layout" in capsys.readouterr().err.replace("\n", " ")


def test_json_lines(folder: Path, capsys: pytest.CaptureFixture) -> None:
    results = classify(["--ckpt", str(folder), "--json", "the sea 海", "a day"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["text"] for line in lines] == ["the sea 海", "a day"]
    assert lines[0] == {
        "text": results[0].text,
        "labels": results[0].labels,
        "probabilities": pytest.approx(results[0].probabilities, abs=1e-6),
    }


def test_a_file_has_one_text_a_line(folder: Path, capsys: pytest.CaptureFixture) -> None:
    file = folder / "texts.txt"
    file.write_bytes("\ufefffirst text\r\n\r\n  \r\nsecond\u2028text\n\x0bthird".encode())
    classify(["--ckpt", str(folder), "--file", str(file)])
    texts = [json.loads(line)["text"] for line in capsys.readouterr().out.split("\n")[:-1]]
    assert texts == ["first text", "", "  ", "second\u2028text", "\x0bthird"]


def test_lines_of_standard_input(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("first\n\nsecond\u2028text\n"))
    assert classify(["--ckpt", str(folder)]).without_text == 1
    texts = [json.loads(line)["text"] for line in capsys.readouterr().out.split("\n")[:-1]]
    assert texts == ["first", "", "second\u2028text"]


@pytest.mark.parametrize(
    ("words", "stdin", "message"),
    [
        (["--ckpt", "CKPT"], "", "nothing to classify: give sentences, --file, or lines on standard input"),
        (["--ckpt", "CKPT/nowhere", "a text"], "", "nowhere: there is no such file or folder"),
        (["--ckpt", "CKPT", "--file", "CKPT/nowhere.txt"], "", "nowhere.txt: no such file"),
        (["--ckpt", "CKPT", "--file", "CKPT/latin.txt", "--encoding", "utf-16"], "", "latin.txt: .* as utf-16"),
        (["a text"], "", "the following arguments are required: --ckpt"),
    ],
)
def test_faults_end_with_a_message_and_status_2(
    words: list[str],
    stdin: str,
    message: str,
    folder: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import re

    (folder / "latin.txt").write_bytes("Grüße".encode("latin-1"))
    monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
    with pytest.raises(SystemExit) as error:
        classify([word.replace("CKPT", str(folder)) for word in words])
    assert error.value.code == 2
    assert re.search(message, capsys.readouterr().err.replace("\n", " "))
