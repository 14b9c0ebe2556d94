"""Exported folders: what they hold, that they give the model back, and that damaged ones are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForSequenceClassification, pipeline

import mlemo
from mlemo.cli import main
from mlemo.nn.encoder import FromScratch, Pretrained
from mlemo.nn.lora import Lora

Maker = Callable[..., Any]
NAMES = ["classifier", "first token", "prompt", "order-free prompt", "graph", "convolutions", "frozen encoder",
         "tf-idf", "adapters"]  # fmt: skip
TEXTS = ["we had such a good day", "anger", "", "why not now or never again @someone #fear", "fear of the sea " * 30]


def export(run: Path, *words: str) -> Path:
    folder: Path = main(["export", str(run), "--output", str(run.parent / "exported"), *words])
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_an_exported_model_gives_the_same_probabilities_and_decisions(
    name: str, trained: Callable[[str], Path], models: Any, pretrained: Path
) -> None:
    run = trained(name)
    expected = mlemo.load(run)
    probabilities, results = expected.probabilities(TEXTS), expected(TEXTS)
    folder = export(run)
    shutil.rmtree(run)
    found = mlemo.load(folder)
    assert type(found.model) is type(expected.model)
    assert type(found.rule) is type(expected.rule)
    torch.testing.assert_close(found.probabilities(TEXTS), probabilities, atol=1e-5, rtol=0)
    assert probabilities.std(0).min() > 0
    assert [result.labels for result in found(TEXTS)] == [result.labels for result in results]
    assert str(pretrained) not in (folder / "config.json").read_text()


def test_a_folder_has_weights_tokenizer_settings_and_no_state_of_the_training(trained: Callable[[str], Path]) -> None:
    run = trained("classifier")
    folder = export(run)
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "config.json", "manifest.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip
    config = json.loads((folder / "config.json").read_text())
    labels = mlemo.load(run).labels
    assert [config["id2label"][str(column)] for column in range(5)] == list(labels)
    entry = config["mlemo"]["model"]
    assert entry["thresholds"]["class_path"] == "mlemo.thresholds.CrossFittedThreshold"
    assert entry["cleaning"]["class_path"] == "mlemo.text.Tweets"
    assert entry["model_class"] == "mlemo.models.transformer.TransformerClassifier"
    weights = mlemo.load(run).model.state_dict()  # the averaged ones
    stored = load_file(folder / "model.safetensors")
    assert {name.replace("bert.", "encoder.", 1) for name in stored} == set(weights)
    torch.testing.assert_close(stored["head.weight"], weights["head.weight"])
    size = sum(weight.nbytes for weight in weights.values())
    assert (folder / "model.safetensors").stat().st_size < 1.1 * size + 10_000
    mode = (folder / "config.json").stat().st_mode
    assert (folder / "model.safetensors").stat().st_mode == mode  # readable by whoever may read the rest


@pytest.mark.parametrize("name", ["classifier", "first token", "prompt"])
def test_a_folder_serves_as_an_encoder(name: str, trained: Callable[[str], Path]) -> None:
    folder = export(trained(name))
    encoder = AutoModel.from_pretrained(folder, add_pooling_layer=False).state_dict()
    expected = mlemo.load(folder).model.encoder.state_dict()
    assert encoder.keys() == expected.keys()
    assert all(torch.equal(weight, expected[key]) for key, weight in encoder.items())


# sequence classifiers of transformers -----------------------------------------------------------------------------


def test_a_linear_head_over_the_first_token_is_a_pipeline_of_transformers(trained: Callable[[str], Path]) -> None:
    folder = export(trained("first token"))
    expected = mlemo.load(folder).probabilities(TEXTS)
    classify = pipeline("text-classification", str(folder), top_k=None, truncation=True, max_length=128)
    found = [{label["label"]: label["score"] for label in result} for result in classify(TEXTS)]
    for row, scores in zip(expected, found, strict=True):
        assert [scores[name] for name in mlemo.load(folder).labels] == pytest.approx(row.tolist(), abs=1e-5)
    assert "pipeline(" in (folder / "README.md").read_text()


@pytest.mark.parametrize("kind", ["Roberta", "XLMRoberta"])
def test_heads_of_other_encoders_are_those_of_transformers(
    kind: str, roberta: Any, classifier: Maker, trainer: Maker, tmp_path: Path
) -> None:
    import transformers

    torch.manual_seed(0)
    sizes = dict(vocab_size=len(roberta), hidden_size=32, num_hidden_layers=1, num_attention_heads=2)
    config = getattr(transformers, f"{kind}Config")(**sizes, intermediate_size=32, pad_token_id=roberta.pad_token_id)
    getattr(transformers, f"{kind}Model")(config).save_pretrained(tmp_path / "encoder")
    roberta.save_pretrained(tmp_path / "encoder")
    run = trainer()
    run.strategy.connect(classifier(encoder=str(tmp_path / "encoder"), pooling="cls"))
    run.save_checkpoint(tmp_path / "run" / "last.ckpt")
    folder = export(tmp_path / "run")
    expected = mlemo.load(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokens = expected.model.tokenizer(TEXTS[:2], padding=True, return_tensors="pt")
    with torch.no_grad():
        found = model(tokens["input_ids"], tokens["attention_mask"]).logits.sigmoid()
    torch.testing.assert_close(found, expected.probabilities(TEXTS[:2]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["classifier", "prompt", "adapters"])
def test_other_models_are_not_taken_for_a_sequence_classifier(name: str, trained: Callable[[str], Path]) -> None:
    folder = export(trained(name))
    assert json.loads((folder / "config.json").read_text())["mlemo"]["sequence_classifier"] is False
    assert "cannot read this folder as a classifier" in (folder / "README.md").read_text().replace("\n", " ")


# encoders that are not trained ------------------------------------------------------------------------------------


def test_a_frozen_encoder_comes_along_or_is_named(trained: Callable[[str], Path], pretrained: Path) -> None:
    run = trained("frozen encoder")
    whole = export(run)
    named = main(["export", str(run), "--output", str(run.parent / "named"), "--adapter"])
    assert (whole / "encoder" / "model.safetensors").is_file()
    assert not (named / "encoder").exists()
    assert str(pretrained) in (named / "config.json").read_text()
    torch.testing.assert_close(mlemo.load(named).probabilities(TEXTS), mlemo.load(whole).probabilities(TEXTS))
    moved = whole.rename(run.parent / "moved")
    assert mlemo.load(moved).model.features.encoder == str(moved / "encoder")


def test_adapters_are_merged_or_exported_alone(trained: Callable[[str], Path], pretrained: Path) -> None:
    run = trained("adapters")
    before = mlemo.load(run)
    assert isinstance(before.model.source, Lora)
    merged = export(run)
    alone = main(["export", str(run), "--output", str(run.parent / "alone"), "--adapter"])
    stored = load_file(alone / "model.safetensors")
    assert set(stored) == {name for name in before.model.state_dict() if "lora_" in name or name.startswith("head.")}
    assert not any("lora" in name for name in load_file(merged / "model.safetensors"))
    assert f"needs the encoder: {pretrained.name}" in (alone / "README.md").read_text()
    assert "needs the encoder" not in (merged / "README.md").read_text()
    for folder, source in ((merged, Pretrained), (alone, Lora)):
        after = mlemo.load(folder)
        assert isinstance(after.model.source, source)
        torch.testing.assert_close(after.probabilities(TEXTS), before.probabilities(TEXTS), atol=1e-5, rtol=0)
        assert [one.labels for one in after(TEXTS)] == [one.labels for one in before(TEXTS)]


def test_adapters_of_a_large_encoder_take_less_than_10_mb(
    tokenizer: Any, classifier: Maker, trainer: Maker, tmp_path: Path
) -> None:
    large = FromScratch(layers=4, width=512, heads=8, max_positions=128).encoder(tokenizer)
    large.save_pretrained(tmp_path / "encoder")
    tokenizer.save_pretrained(tmp_path / "encoder")
    run = trainer()
    run.strategy.connect(classifier(encoder=Lora(str(tmp_path / "encoder"), r=8)))
    run.save_checkpoint(tmp_path / "run" / "last.ckpt")
    folder = export(tmp_path / "run", "--adapter")
    assert (tmp_path / "encoder" / "model.safetensors").stat().st_size > 40e6
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 1e6


def test_a_model_without_a_frozen_encoder_has_no_adapter(
    trained: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        export(trained("classifier"), "--adapter")
    assert "has no frozen encoder that could be named" in capsys.readouterr().err.replace("\n", " ")


# what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
def test_changed_truncated_and_missing_files_are_named(name: str, exported: Path) -> None:
    path = exported / name
    content = path.read_bytes()
    middle = len(content) // 2
    for changed in (content[:middle], content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]):
        path.write_bytes(changed)
        with pytest.raises(
            ValueError, match=rf"{name} \({len(changed):,} bytes\) has another SHA-256 than at its export"
        ):
            mlemo.load(exported)
    path.unlink()
    with pytest.raises(ValueError, match=rf"lacks {name}, which its manifest\.json lists"):
        mlemo.load(exported)
    (exported / "manifest.json").unlink()
    with pytest.raises(ValueError, match=r"has no manifest\.json, so it is no whole folder"):
        mlemo.load(exported)


def test_the_card_may_be_edited(exported: Path) -> None:
    (exported / "README.md").write_text("Mine.")
    (exported / ".gitattributes").write_text("*.safetensors filter=lfs")
    assert len(mlemo.load(exported)(TEXTS)) == 5


def consistent(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the config, and the manifest with it, as somebody could who means harm."""
    from mlemo.runs.manifest import sha256

    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = {name: sha256(folder / name) for name in manifest["files"]}
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: config["mlemo"]["model"].update(model_class="antigravity.Model"), "not imported; .* --trust"),
        (lambda config: config["mlemo"]["model"]["thresholds"].update(class_path="os.system"), "os.system"),
        (lambda config: config["mlemo"]["model"]["hyper_parameters"].update(_instantiator="os.system"), "os.system"),
        (lambda config: config["mlemo"]["model"]["cleaning"].update(class_path="os.system"), "os.system"),
        (lambda config: config["mlemo"].update(format=99), "a later version of mlemo"),
        (lambda config: config.pop("mlemo"), "has no entry 'mlemo'"),
        (lambda config: config.update(vocab_size=10**9), "its sizes are at most"),
        (lambda config: config["mlemo"]["model"].update(memory={"tensor": "nowhere"}), "nowhere"),
    ],
)
def test_hostile_settings_are_refused(change: Callable[[Any], None], message: str, exported: Path) -> None:
    consistent(exported, change)
    with pytest.raises(ValueError, match=message):
        mlemo.load(exported)


def test_code_named_by_a_folder_is_not_run(exported: Path, tmp_path: Path) -> None:
    (exported / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Config: pass\nclass Model: pass\n")
    map_ = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
    consistent(exported, lambda config: config.update(auto_map=map_))
    assert len(mlemo.load(exported)(TEXTS)) == 5
    assert not (tmp_path / "ran").exists()


def test_a_frozen_encoder_that_would_fetch_code_is_refused(trained: Callable[[str], Path]) -> None:
    folder = export(trained("frozen encoder"))
    path = folder / "encoder" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "attn_implementation": "somebody/kernel"}))
    consistent(folder, lambda config: None)
    with pytest.raises(ValueError, match=r"config\.json of the encoder has settings that mlemo does not write"):
        mlemo.load(folder)


def test_files_outside_of_the_folder_are_not_read(exported: Path) -> None:
    manifest = json.loads((exported / "manifest.json").read_text())
    manifest["files"]["../other.json"] = "0" * 64
    (exported / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"lists '\.\./other\.json', which is outside"):
        mlemo.load(exported)


def test_weights_of_another_size_are_refused(exported: Path) -> None:
    weights = load_file(exported / "model.safetensors")
    save_file({**weights, "head.weight": torch.zeros(2, 3)}, exported / "model.safetensors")
    consistent(exported, lambda config: None)
    with pytest.raises(ValueError, match="does not fit its TransformerClassifier"):
        mlemo.load(exported)


def test_a_folder_with_something_in_it_is_kept(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in exported.iterdir()}
    with pytest.raises(SystemExit):
        export(exported.parent / "run")
    assert "is there already" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in exported.iterdir()} == before
    assert not list(exported.parent.glob("*.part"))


def test_a_failed_export_leaves_nothing(tmp_path: Path, trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlemo.export import folder as module

    run = trained("classifier")
    monkeypatch.setattr(module, "save_file", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(SystemExit):
        export(run)
    assert not (run.parent / "exported").exists()
    assert not list(run.parent.glob("*.part"))
