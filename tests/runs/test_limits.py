"""Limits on what a checkpoint may hold."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from mlemo.nn import encoder_files
from mlemo.nn.encoder_files import NAMES, write_files
from mlemo.runs import limits
from mlemo.runs.limits import check_archive, check_content, no_larger_than, read_yaml
from mlemo.runs.stored_config import check_classes
from mlemo.utils.serialization import stored_class


def test_shared_values_are_allowed_while_they_stay_few() -> None:
    row = [1.0] * 100
    check_content({"a": [row] * 1000, "b": (row, {"c": torch.arange(6).view(2, 3).T})})
    with pytest.raises(ValueError, match="more than 50 values"):
        check_content([row], most=50)
    check_content(torch.zeros(1).expand(2**24))


def test_what_is_no_tensor_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"words": ["x" * 5000]}, tmp_path / "a.ckpt")
    check_archive(tmp_path / "a.ckpt")
    monkeypatch.setattr(limits, "LONGEST_PICKLE", 5000)
    with pytest.raises(ValueError, match=r"bytes of it are no tensors, at most 5,000 may be"):
        check_archive(tmp_path / "a.ckpt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 2020-01-01", "plain values, found date"),
        ("1: x", "names of settings must be strings, found 1"),
        ("a: !!binary aGE=", "plain values, found bytes"),
        ("a: !!set {x}", "plain values, found set"),
        ("a: [b", "expected"),
        ("? [a]\n: b", "unhashable|plain values"),
        ("&a [*a]", "holds itself"),
        ("", "settings by name, found NoneType"),
    ],
)
def test_settings_are_plain(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_yaml(text)


def test_aliases_are_allowed_where_they_do_not_multiply() -> None:
    assert read_yaml("a: &a [1, 2]\nb: *a") == {"a": [1, 2], "b": [1, 2]}


def test_a_network_is_about_as_large_as_its_weights() -> None:
    weights = nn.Linear(3, 4).state_dict()
    with no_larger_than(weights):
        nn.Sequential(nn.Linear(300, 4), nn.BatchNorm1d(4))
    with pytest.raises(ValueError, match="much larger than its weights"), no_larger_than(weights):
        nn.Linear(10**4, 10**4)
    with pytest.raises(ValueError, match="much larger than its weights"), no_larger_than(weights):
        nn.ModuleList(nn.Linear(1, 1) for _ in range(10**6))
    nn.Linear(1, 2**24)


def test_files_of_an_encoder_have_known_names_and_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files({name: "{}" for name in NAMES}, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(NAMES)
    monkeypatch.setattr(encoder_files, "LARGEST", 10)
    with pytest.raises(ValueError, match=r"vocab\.txt .* at most 10, found 11 characters"):
        write_files({"config.json": "{}", "vocab.txt": "x" * 11}, tmp_path)


@pytest.mark.parametrize("path", ["os.system", "subprocess.Popen", "builtins.eval", "torch.nn.Linear", "pathlib.Path"])
def test_a_config_names_components_alone(path: str) -> None:
    with pytest.raises(ValueError, match=r"no class that a config can name|has no class|is not imported"):
        check_classes({"callbacks": [{"class_path": path}]}, "trainer")


def test_components_of_the_libraries_are_named() -> None:
    paths = [
        "lightning.pytorch.loggers.CSVLogger",
        "torch.optim.lr_scheduler.CosineAnnealingLR",
        "mlemo.nn.tfidf.Tfidf",
    ]
    check_classes([{"class_path": path, "init_args": {}} for path in paths], "trainer")


def test_a_class_is_never_found_by_a_lazy_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import types

    lazy = types.ModuleType("lazy_of_test")
    lazy.__getattr__ = lambda name: pytest.fail("the module was asked")  # type: ignore[method-assign]
    monkeypatch.setitem(__import__("sys").modules, "lazy_of_test", lazy)
    with pytest.raises(ValueError, match="has no class 'Rule'"):
        stored_class("lazy_of_test.Rule", "rule")
