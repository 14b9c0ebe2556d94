"""Adapters on a frozen encoder: the formula, what is trained, and checkpoints without the encoder."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

import mlemo
from mlemo.callbacks import EMAWeights
from mlemo.cli import main
from mlemo.data import Corpus
from mlemo.models import BertWDL, TransformerClassifier
from mlemo.nn.encoder import Pretrained
from mlemo.nn.lora import Lora

Maker = Callable[..., Any]
QUERY = "encoder.layer.0.attention.self.query"


@pytest.fixture
def base(pretrained: Path, tmp_path: Path) -> Path:
    """A copy of the tiny pretrained encoder that a test may change."""
    return Path(shutil.copytree(pretrained, tmp_path / "base"))


def adapted(base: Path, **settings: Any) -> Any:
    torch.manual_seed(0)
    source = Lora(str(base), **settings)
    return source.encoder(source.tokenizer(list))


def fit(base: Path, folder: Path, *words: str) -> Path:
    main(
        [
            "fit", "--data.size=120", "--trainer.max_epochs=2", "--name=run", "--model=TransformerClassifier",
            "--figures.every_n_epochs=0",
            f"--trainer.logger.init_args.save_dir={folder}", "--model.encoder=Lora", f"--model.encoder.base={base}",
            "--model.optimization.learning_rate=0.01", *words,
        ]
    )  # fmt: skip
    return folder / "run"


@pytest.fixture(scope="module")
def trained(pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with an encoder, ``base``, and the run that was trained on it, ``run``."""
    folder = tmp_path_factory.mktemp("lora")
    shutil.copytree(pretrained, folder / "base")
    fit(folder / "base", folder)
    return folder


@pytest.fixture
def mended(trained: Path) -> Any:
    """The same; the encoder is put back after the test."""
    copy = shutil.copytree(trained / "base", trained / "copy")
    yield trained
    shutil.rmtree(trained / "base", ignore_errors=True)
    Path(copy).rename(trained / "base")


# the adapters ---------------------------------------------------------------------------------------------------


def test_an_adapted_layer_computes_its_formula(base: Path) -> None:
    encoder = adapted(base, r=4, alpha=6, dropout=0.0)
    layer = encoder.get_submodule(QUERY)
    x = torch.randn(5, 32)
    weight, bias = layer.base_layer.weight, layer.base_layer.bias
    assert torch.equal(layer(x), F.linear(x, weight, bias)), "no change before the training"
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    assert (a.shape, b.shape) == ((4, 32), (32, 4))
    torch.nn.init.normal_(b)
    torch.testing.assert_close(layer(x), F.linear(x, weight, bias) + 6 / 4 * (x @ a.T) @ b.T)


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (None, {"query", "value"}),
        (["key", "output.dense"], {"key", "dense"}),
        ("all-linear", {"query", "key", "value", "dense"}),
    ],
)
def test_only_adapters_of_the_chosen_layers_are_trained(base: Path, targets: Any, expected: set[str]) -> None:
    encoder = adapted(base, target_modules=targets)
    trained = [name for name, parameter in encoder.named_parameters() if parameter.requires_grad]
    assert all(".lora_" in name for name in trained)
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in trained} == expected


def test_missing_weights_beside_the_encoder_are_found_under_any_name(base: Path) -> None:
    whole = torch.nn.ModuleDict({"before": torch.nn.Module(), "encoder": adapted(base)})
    name, frozen = next((n, p) for n, p in whole["encoder"].named_parameters() if not p.requires_grad)
    part, _, last = name.rpartition(".")
    owner = whole["before"]
    for step in part.split("."):
        owner.add_module(step, torch.nn.Module())
        owner = owner.get_submodule(step)
    owner.register_parameter(last, torch.nn.Parameter(frozen.clone()))
    state = whole.state_dict()
    assert f"before.{name}" in state
    assert f"encoder.{name}" not in state
    whole.load_state_dict(state)
    del state[f"before.{name}"]
    with pytest.raises(RuntimeError, match=f"Missing key.*before.{name}"):
        whole.load_state_dict(state)


def test_half_precision_weights_have_float32_adapters(base: Path, corpus: Corpus) -> None:
    source = Lora(Pretrained(str(base), dtype="bfloat16"))
    model = TransformerClassifier(corpus.label_space, source)
    model.build()
    types = {(parameter.requires_grad, parameter.dtype) for parameter in model.parameters()}
    assert types == {(True, torch.float32), (False, torch.bfloat16)}
    batch = model.tokenizer(["joy and fear"], return_tensors="pt", return_token_type_ids=False)
    assert model({"token_type_ids": torch.zeros_like(batch["input_ids"]), **batch}).dtype == torch.float32


def test_gradient_checkpointing_changes_no_gradient(base: Path, corpus: Corpus) -> None:
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        source = Lora(Pretrained(str(base), gradient_checkpointing=checkpointing, attn_implementation="eager"))
        model = TransformerClassifier(corpus.label_space, source)
        model.build()
        calls: list[Any] = []
        model.encoder.get_submodule(QUERY).register_forward_hook(lambda *call: calls.append(call))  # noqa: B023
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter)
        batch = model.tokenizer(["joy and fear", "so happy"], padding=True, return_tensors="pt")
        torch.manual_seed(1)
        model(dict(batch)).sum().backward()
        assert len(calls) == (2 if checkpointing else 1), "computed again in the backward pass"
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.requires_grad})
    torch.testing.assert_close(gradients[0], gradients[1])
    assert all(gradient is not None and gradient.any() for gradient in gradients[0].values())


# wrong settings -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"r": 0}, "Lora.r must lie between 1 and 4096, found 0"),
        ({"alpha": 0.0}, "Lora.alpha must be above 0, found 0.0"),
        ({"dropout": 1.0}, "Lora.dropout must be at least 0 and below 1, found 1.0"),
        ({"target_modules": "query"}, "a list of names of linear layers or 'all-linear', found 'query'"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Lora("some-encoder", **settings)


def test_a_layer_that_is_not_there(base: Path) -> None:
    with pytest.raises(ValueError, match=r"no adapters at Lora.target_modules=\['q_proj'\]; its linear layers are d"):
        adapted(base, target_modules=["q_proj"])


def test_quantization_needs_what_it_needs(base: Path) -> None:
    with pytest.raises(ValueError, match=r"Lora.quantize needs (the library bitsandbytes|a GPU)"):
        adapted(base, quantize=True)


def test_kernels_from_the_hub_are_refused() -> None:
    with pytest.raises(ValueError, match="stands for code on the hub, which is never run"):
        Pretrained("some-encoder", attn_implementation="someone/attention")


# checkpoints ----------------------------------------------------------------------------------------------------


def test_a_checkpoint_holds_adapters_head_and_thresholds_alone(trained: Path, tmp_path: Path) -> None:
    run, base = trained / "run", trained / "base"
    best = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    assert {"thresholds", "encoder"} <= set(best)
    names = [name for name in best["state_dict"] if not name.startswith("metrics")]
    assert all(".lora_" in name or name.startswith("head.") for name in names)
    assert "head.weight" in names
    assert list(best["encoder"]) == ["lora.json"]
    frozen = Pretrained(str(base)).encoder(None)
    classifier = mlemo.load(run)
    state = classifier.model.encoder.state_dict(keep_vars=False)
    assert state.keys() == {name.removeprefix("encoder.") for name in names if ".lora_" in name}
    for name, value in frozen.named_parameters():
        layer, _, end = name.rpartition(".")
        parts = dict(classifier.model.encoder.named_parameters())
        assert torch.equal(parts.get(name, parts.get(f"{layer}.base_layer.{end}")), value), "never trained"
    scores = json.loads((run / "results_test.json").read_text())
    again = main(["test", f"--ckpt_path={run}", f"--trainer.logger.init_args.save_dir={tmp_path / 'again'}"])
    assert json.loads((Path(again.trainer.log_dir) / "results_test.json").read_text()) == scores
    assert scores["tuned_macro_f1"] > 0


def test_a_resumed_training_equals_the_unbroken_one(base: Path, tmp_path: Path) -> None:
    words = ["--trainer.callbacks+=EMAWeights", "--model.optimization.schedule=constant"]
    words += ["--model.optimization.warmup=0", "--test_after_fit=false"]
    whole = fit(base, tmp_path / "whole", *words)
    part = fit(base, tmp_path / "part", *words, "--trainer.max_epochs=1")
    main(["fit", f"--ckpt_path={part}", "--trainer.max_epochs=2"])
    last = [torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (whole, part)]
    assert last[0]["global_step"] == last[1]["global_step"] == 16
    for key in ("state_dict", "current_model_state"):
        assert not any("base_layer" in name for name in last[0][key])
        for name, value in last[0][key].items():
            assert torch.equal(value, last[1][key][name]), name
    assert last[0]["optimizer_states"][0]["state"]


@pytest.mark.parametrize("kind", [TransformerClassifier, BertWDL])
def test_an_averaged_model_is_saved_and_loaded(
    kind: Any, base: Path, corpus: Corpus, trainer: Maker, data: Maker, tmp_path: Path
) -> None:
    model = kind(corpus.label_space, Lora(str(base)))
    run = trainer(callbacks=[EMAWeights()], max_epochs=1)
    run.fit(model, data())
    run.save_checkpoint(tmp_path / "a.ckpt")
    loaded = kind.load_from_checkpoint(tmp_path / "a.ckpt")
    own = {name: value for name, value in model.state_dict().items() if "metrics" not in name}
    assert own.keys() == {name for name in loaded.state_dict() if "metrics" not in name}
    for name, value in own.items():
        assert torch.equal(value, loaded.state_dict()[name])


def test_a_checkpoint_with_a_missing_adapter_is_refused(trained: Path, tmp_path: Path) -> None:
    path = trained / "run" / "checkpoints" / "best.ckpt"
    content = torch.load(path, weights_only=True)
    name = next(name for name in content["state_dict"] if ".lora_" in name)
    del content["state_dict"][name]
    torch.save(content, tmp_path / "cut.ckpt")
    with pytest.raises(ValueError, match=name):
        mlemo.load(tmp_path / "cut.ckpt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "lora.json of the checkpoint's encoder cannot be read"),
        ("[1]", "lora.json of the checkpoint's encoder cannot be read"),
        ('{"source": {"class_path": "mlemo.nn.encoder.Pretrained"}, "files": {}}', "init_args.* missing"),
        (
            '{"source": {"class_path": "mlemo.nn.encoder.Pretrained", "init_args": {"name": "x"}}, "files": {}}',
            "describes a Pretrained, a Lora is expected",
        ),
        ('{"source": {"class_path": "os.system", "init_args": {}}, "files": {}}', "is not a|is no|does not exist"),
    ],
)
def test_a_description_of_adapters_from_a_stranger(content: str, message: str, trained: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(trained / "run" / "checkpoints" / "best.ckpt", weights_only=True)
    checkpoint["encoder"] = {"lora.json": content}
    torch.save(checkpoint, tmp_path / "strange.ckpt")
    with pytest.raises(ValueError, match=message):
        mlemo.load(tmp_path / "strange.ckpt")


def test_an_encoder_that_changed_was_moved_or_is_gone(mended: Path, tmp_path: Path) -> None:
    run, base = mended / "run", mended / "base"
    moved = base.rename(tmp_path / "moved")
    path = run / "checkpoints" / "best.ckpt"
    with pytest.raises(FileNotFoundError, match=r"base.*neither a local folder"):
        mlemo.load(run)
    model = TransformerClassifier.load_from_checkpoint(path, encoder=Lora(str(moved), r=2))
    assert model.encoder.get_submodule(QUERY).r["default"] == 8, "adapters are those of the checkpoint"
    place = f"--trainer.logger.init_args.save_dir={tmp_path}"
    validated = main(["validate", f"--ckpt_path={path}", f"--model.encoder.base={moved}", place])
    assert validated.model.source.base.name == str(moved)
    other = Pretrained(str(moved)).encoder(None)
    torch.nn.init.zeros_(other.get_submodule(QUERY).weight)
    other.save_pretrained(base)
    for file in moved.iterdir():
        if file.name not in ("config.json", "model.safetensors"):
            shutil.copy(file, base / file.name)
    with pytest.raises(ValueError, match=r"trained on another encoder than .*base': model.safetensors was \w+… and is"):
        mlemo.load(run)
