"""Checkpoints as a stranger could send them: each would run code, write a file, grow without bound, or is damaged."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml

#: A module that lies beside the checkpoint; importing it leaves a file, and it has a class of every kind.
MODULE = """
from pathlib import Path
Path("canary").write_text("imported")
from mlemo.callbacks import LabelShuffle as Callback
from mlemo.data import SyntheticEmotions as Data
from mlemo.losses import BinaryCrossEntropy as Loss
from mlemo.models import TransformerClassifier as Model
from mlemo.text import Tweets as Cleaning
from mlemo.thresholds import FixedThreshold as Rule
from lightning.pytorch.loggers import CSVLogger as Logger
from lightning.fabric.plugins import TorchCheckpointIO as Plugin
"""
STRANGE = "stranger_module"


class Touch:
    """Unpickled, it makes a file."""

    def __reduce__(self) -> tuple:
        return os.system, ("touch canary",)


Content = dict[str, Any]
Change = Callable[[Content], Any]


def config_with(change: Callable[[Content], Any]) -> Change:
    """A checkpoint whose stored config is changed."""

    def changed(content: Content) -> None:
        config = yaml.safe_load(content["config"])
        change(config)
        content["config"] = yaml.safe_dump(config)

    return changed


def config_text(text: str) -> Change:
    """A checkpoint with another text for its stored config."""
    return lambda content: content.update(config=text)


def setting(path: str, value: Any) -> Change:
    """A checkpoint with another value at a path of keys, parted by slashes."""

    def changed(content: Content) -> None:
        *outer, last = path.split("/")
        for key in outer:
            content = content[key]
        content[last] = value

    return changed


def without(path: str) -> Change:
    """A checkpoint without a value."""

    def changed(content: Content) -> None:
        *outer, last = path.split("/")
        for key in outer:
            content = content[key]
        del content[last]

    return changed


def encoder_file(name: str) -> Change:
    """A checkpoint with another file of its encoder."""
    return lambda content: content["encoder"].update({name: "x"})


def encoder_config(**changes: Any) -> Change:
    """A checkpoint with other settings of its encoder."""
    return encoder_json("config.json", **changes)


def encoder_json(name: str, **changes: Any) -> Change:
    """A checkpoint with other settings in a JSON file of its encoder."""

    def changed(content: Content) -> None:
        content["encoder"][name] = json.dumps(json.loads(content["encoder"][name]) | changes)

    return changed


def object_at(path: str, name: str, **init_args: Any) -> Change:
    """A checkpoint whose config has a class at a path."""
    return config_with(setting(path, {"class_path": name, "init_args": init_args}))


def laughs(times: int) -> list[Any]:
    """Shared lists that stand for ``10 ** times`` values."""
    value: list[Any] = ["ha"] * 10
    for _ in range(times - 1):
        value = [value] * 10
    return value


def nested(levels: int) -> list[Any]:
    """A list in a list in a list."""
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def holds_itself() -> list[Any]:
    """A list that is its own member."""
    value: list[Any] = []
    value.append(value)
    return value


WEIGHT = "state_dict/head.weight"
ALIASES = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefghi", "bcdefghij")
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 10)}]}}\n" for before, name in zip("abcdefgh", "bcdefghi")
)

ALL, ON_DATA = ("classify", "test", "explain"), ("test",)

#: Changes of a good checkpoint -> commands that refuse it, and what the message names. The other commands work.
REFUSED: dict[str, tuple[Change, tuple[str, ...], str]] = {
    "pickled call": (setting("extra", Touch()), ALL, "something else than tensors and plain values"),
    "pickled call in the weights": (setting(WEIGHT, Touch()), ALL, "something else than tensors and plain values"),
    # files of the encoder
    "file beside": (encoder_file("../../canary"), ALL, "no file named '../../canary'"),
    "file below": (setting("encoder", {"config.json": "{}", "deep/er.json": "x"}), ALL, "no file named 'deep/er.json'"),
    "file at an absolute place": (encoder_file("/tmp/mlemo-canary"), ALL, "no file named '/tmp/mlemo-canary'"),
    "file through a known name": (encoder_file("config.json/../../canary"), ALL, "no file named 'config.json/../"),
    "file of the system": (encoder_file("C:\\canary"), ALL, "no file named"),
    "code among the files": (setting("encoder/modeling.py", MODULE), ALL, "no file named 'modeling.py'"),
    "weights among the files": (setting("encoder/pytorch_model.bin", "x"), ALL, "no file named 'pytorch_model.bin'"),
    "file that is no text": (setting("encoder/vocab.txt", 5), ALL, "vocab.txt .* must be a text of at most"),
    "file that is no base64": (setting("encoder/vocab.txt", "base64:?"), ALL, "vocab.txt .* cannot be read"),
    "files that are no files": (setting("encoder", 5), ALL, "no config.json"),
    "no files": (without("encoder"), ALL, "encoder"),
    "encoder config that is a list": (setting("encoder/config.json", "[]"), ALL, "config.json .* settings by name"),
    "encoder config that is no JSON": (setting("encoder/config.json", "{"), ALL, "config.json .* cannot be read"),
    "deep JSON": (setting("encoder/config.json", "[" * 100_000), ALL, "config.json .* cannot be read"),
    "encoder of an unknown kind with code": (
        encoder_config(model_type="strange", auto_map={"AutoConfig": f"{STRANGE}.Config"}), ALL, "model type `strange`",
    ),
    "gigantic vocabulary": (encoder_config(vocab_size=10**12), ALL, "sizes are at most"),
    "large vocabulary": (encoder_config(vocab_size=9_000_000), ALL, "much larger than its weights"),
    "a million layers": (encoder_config(num_hidden_layers=10**6), ALL, "much larger than its weights"),
    # names of modules
    "model of the stranger": (setting("model_class", f"{STRANGE}.Model"), ALL[::2], f"--trust {STRANGE}"),
    "model of a module of Python": (setting("model_class", "antigravity.Model"), ALL[::2], "--trust antigravity"),
    "model that is no model": (setting("model_class", "subprocess.Popen"), ALL[::2], "no model of mlemo"),
    "model that is a function": (setting("model_class", "mlemo.cli.main"), ALL[::2], "no class 'main'"),
    "model of no module": (setting("model_class", "mlemo.models.nothing.Model"), ALL[::2], "does not exist"),
    "model that is a number": (setting("model_class", 5), ALL[::2], "no dotted path"),
    "model with a path": (setting("model_class", "../stranger_module.Model"), ALL[::2], "no dotted path"),
    "no model": (without("model_class"), ALL[::2], "does not name its model class"),
    "rule of the stranger": (setting("thresholds_by_inference/forward/class_path", f"{STRANGE}.Rule"), ALL, "--trust"),
    "rule that is a process": (
        setting("thresholds_by_inference/forward/class_path", "subprocess.Popen"), ALL, "is not a ThresholdRule",
    ),
    "rule with a strange state": (setting("thresholds_by_inference/forward/state", [1]), ALL, "state"),
    "rules that are none": (setting("thresholds_by_inference", 5), ALL, "int"),
    "cleaning of the stranger": (
        setting("cleaning", {"class_path": f"{STRANGE}.Cleaning", "init_args": {}}), ALL, f"--trust {STRANGE}",
    ),
    # settings of the model
    "other instantiator": (setting("hyper_parameters/_instantiator", "os.system"), ALL[::2], "os.system"),
    "class in the settings": (
        setting("hyper_parameters/dropout", {"class_path": f"{STRANGE}.Model", "init_args": {}}), ALL[::2], "--trust",
    ),
    "process in the settings": (
        setting("hyper_parameters/dropout", {"class_path": "subprocess.Popen", "init_args": {"args": "touch canary"}}),
        ALL[::2], "no class that a config can name",
    ),
    "path in the settings": (setting("hyper_parameters/dropout", f"{STRANGE}.Model"), ALL[::2], "dropout"),
    "settings that are none": (setting("hyper_parameters", 5), ALL[::2], "int"),
    "no labels": (setting("hyper_parameters/label_space", {"names": [], "groups": None}), ALL[::2], "label"),
    # the stored config, which classify does not read
    "tag of YAML": (config_text("data: !!python/object/apply:os.system [touch canary]"), ON_DATA, "constructor"),
    "own tag of YAML": (config_text("data: !touch canary"), ON_DATA, "constructor"),
    "aliases that multiply": (config_text(ALIASES), ON_DATA, "more than 100,000 values"),
    "merges that multiply": (config_text(MERGES), ON_DATA, "merge key"),
    "deep YAML": (config_text("[" * 1000), ON_DATA, "config"),
    "endless YAML": (config_text("x: " + "a" * 200_001), ON_DATA, "at most 200,000 characters"),
    "config that is a list": (config_text("[1, 2]"), ON_DATA, "settings by name"),
    "config that is a number": (setting("config", 5), ON_DATA, "expected a text"),
    "data of the stranger": (object_at("data", f"{STRANGE}.Data"), ON_DATA, f"--trust {STRANGE}"),
    "data by name alone": (config_with(setting("data", f"{STRANGE}.Data")), ON_DATA, f"{STRANGE}.Data"),
    "data in a text": (
        config_with(setting("data", f'{{"class_path": "{STRANGE}.Data"}}')), ON_DATA, f"{STRANGE}.Data",
    ),
    "data that is a process": (object_at("data", "subprocess.Popen", args="touch canary"), ON_DATA, "no class that a"),
    "model of the config": (object_at("model", f"{STRANGE}.Model"), ON_DATA, f"--trust {STRANGE}"),
    "loss by name alone": (config_with(setting("model/init_args/loss", f"{STRANGE}.Loss")), ON_DATA, f"{STRANGE}.Loss"),
    "schedule by name alone": (
        config_with(setting("model/init_args/optimization/schedule", f"{STRANGE}.Loss")), ON_DATA, f"{STRANGE}.Loss",
    ),
    "rule of the config": (object_at("thresholds/rule", f"{STRANGE}.Rule"), ON_DATA, f"--trust {STRANGE}"),
    # weights
    "wrong shape": (setting(WEIGHT, torch.zeros(3, 2)), ALL, "size mismatch for head.weight"),
    "missing weight": (without(WEIGHT), ALL, "head.weight"),
    "weight too many": (setting("state_dict/canary", torch.zeros(2)), ALL, "canary"),
    "weight that is a number": (setting(WEIGHT, 5), ALL, "other things than tensors"),
    "weight by number": (lambda c: c["state_dict"].update({5: torch.zeros(2)}), ALL, "other things than tensors"),
    "weight larger than its storage": (setting(WEIGHT, torch.zeros(1).expand(10**9, 10)), ALL, "is declared, of"),
    "sparse weight": (setting(WEIGHT, torch.zeros(2, 2).to_sparse()), ALL, "another kind"),
    "weights that are none": (setting("state_dict", [1]), ALL, "no model weights"),
    # bombs
    "shared lists": (setting("extra", laughs(9)), ALL, "more than 5,000,000 values"),
    "list in itself": (setting("extra", holds_itself()), ALL, "holds itself"),
    "deep list": (setting("extra", nested(200)), ALL, "levels deep"),
}  # fmt: skip

#: Changes of a good checkpoint that all commands but ``fit`` pass over, and what ``fit`` says of them.
PASSED_OVER: dict[str, tuple[Change, str]] = {
    "callback of the stranger": (
        config_with(setting("trainer/callbacks", [{"class_path": f"{STRANGE}.Callback"}])), f"--trust {STRANGE}",
    ),
    "logger of the stranger": (object_at("trainer/logger", f"{STRANGE}.Logger", save_dir="canary"), "--trust"),
    "plugin of the stranger": (object_at("trainer/plugins", f"{STRANGE}.Plugin"), "--trust"),
    "process as a logger": (object_at("trainer/logger", "subprocess.Popen", args="touch canary"), "no class that a"),
    "loss of the stranger": (object_at("model/init_args/loss", f"{STRANGE}.Loss"), "--trust"),
    "encoder of the stranger": (object_at("model/init_args/encoder", f"{STRANGE}.Source"), "--trust"),
}  # fmt: skip


def bit_rot(path: Path, part: str) -> None:
    """One wrong bit, in the middle of a part of the archive."""
    with zipfile.ZipFile(path) as archive:
        found = next(member for member in archive.infolist() if member.filename.endswith(part))
    content = bytearray(path.read_bytes())
    names = sum(struct.unpack("<HH", content[found.header_offset + 26 : found.header_offset + 30]))
    content[found.header_offset + 30 + names + found.file_size // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path, share: float) -> None:
    """The start of the file alone."""
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


def compressed(path: Path) -> None:
    """The same archive compressed, with a part of zeros that is a thousand times as large as the file."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
        archive.writestr("zeros", bytes(2**24))


def declared_larger(path: Path) -> None:
    """The archive says of its first part that it has 4 GB."""
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + 20 : entry + 28] = struct.pack("<LL", 2**32 - 2, 2**32 - 2)
    path.write_bytes(content)


def repeated(path: Path) -> None:
    """Thousand parts that are all the same bytes of the file."""
    content = path.read_bytes()
    end = content.rindex(b"PK\x05\x06")
    if content[end - 20 : end - 16] == b"PK\x06\x07":  # of large archives
        end = content.rindex(b"PK\x06\x06")
    first = content.index(b"PK\x01\x02")
    length = 46 + sum(struct.unpack("<HHH", content[first + 28 : first + 34]))
    entries = content[first : first + length] * 1000
    tail = struct.pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, 1000, 1000, len(entries), first, 0)
    path.write_bytes(content[:first] + entries + tail)


def legacy_pickle(path: Path) -> None:
    """A pickle of old, with a call."""
    path.write_bytes(pickle.dumps({"state_dict": {}, "call": Touch()}))


#: Damages of a file, which every command refuses.
DAMAGES: dict[str, Callable[[Path], Any]] = {
    "nothing": lambda path: cut(path, 0),
    "half": lambda path: cut(path, 0.5),
    "all but the last bytes": lambda path: cut(path, 0.999),
    **{f"bit rot in {part}": lambda path, part=part: bit_rot(path, part) for part in ("data.pkl", "data/0", "data/9")},
    "compressed": compressed,
    "declared larger": declared_larger,
    "parts over one another": repeated,
    "pickle of old": legacy_pickle,
    "text": lambda path: path.write_text("import os"),
}
