"""Random damage to a checkpoint: it loads, or ends in a message; nothing else is raised, and no file is left."""

from __future__ import annotations

import copy
import json
import math
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import mlemo
from mlemo.runs.loading import read_checkpoint
from mlemo.runs.stored_config import INFERENCE, stored_config

SECONDS = float(os.environ.get("MLEMO_FUZZ_SECONDS", "3"))

VALUES: list[Any] = [
    None, True, 0, -1, 10**6, 10**12, 2**70, math.nan, math.inf, "", "x", "os.system", "mlemo.text.Tweets",
    "\x00\x1b[2J", "../x", [], {}, [[]], {"class_path": "os.system"},
    {"class_path": "mlemo.text.Tweets", "init_args": {"x": 1}},
    {5: 6}, b"x", (), {"names": ["x"]}, torch.zeros(0), torch.ones(2, 3), torch.tensor(5), torch.ones(8, 16).half(),
    torch.tensor([math.nan]),
]  # fmt: skip


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every dictionary or list in a value, with each of its keys."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        yield value, key
        yield from places(item)


def mutate(content: Any, rng: random.Random) -> None:
    """Change one place of a value: another value, that of elsewhere, none, or a changed text."""
    spots = list(places(content))
    if not spots:
        return
    # mostly near the top, where the loader looks
    owner, key = spots[0] if len(spots) == 1 else rng.choice(spots)
    way = rng.randrange(5)
    if way == 0 and isinstance(owner, dict):
        del owner[key]
    elif way == 1:
        other, place = rng.choice(spots)
        owner[key] = copy.deepcopy(other[place])
    elif way == 2 and isinstance(owner, dict):
        owner[rng.choice(["x", "encoder", "init_args", "class_path", "../x", 5])] = rng.choice(VALUES)
    elif way == 3 and isinstance(owner[key], str):
        owner[key] = changed_text(owner[key], rng)
    else:
        owner[key] = rng.choice(VALUES)


def changed_text(text: str, rng: random.Random) -> str:
    """A text with a changed value, where it is JSON, else with a changed letter."""
    try:
        content = json.loads(text)
        plain = [value for value in VALUES if not isinstance(value, torch.Tensor | bytes)]
        spots = list(places(content))
        owner, key = rng.choice(spots)
        owner[key] = rng.choice(plain)
        return json.dumps(content)
    except (ValueError, IndexError, TypeError):
        place = rng.randrange(len(text) + 1)
        return text[:place] + rng.choice(["", "x", "\x00", "{", ": ", "&a *a", "!!x", "\n- "]) + text[place + 1 :]


def damage(content: bytes, rng: random.Random) -> bytes:
    """Bytes with some changed, left out or added."""
    result = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 10])):
        place = rng.randrange(len(result))
        way = rng.randrange(4)
        if way == 0:
            result[place] ^= 1 << rng.randrange(8)
        elif way == 1:
            del result[place : place + rng.choice([1, 10, 1000])]
        elif way == 2:
            result[place:place] = rng.randbytes(rng.choice([1, 10]))
        else:
            del result[max(1, place) :]
    return bytes(result)


def outcome(use: Callable[[Path], Any], file: Path) -> BaseException | None:
    """The exception that a use of a file ends in."""
    try:
        use(file)
    except BaseException as error:  # a panic of tokenizers is no Exception
        return error
    return None


@pytest.mark.filterwarnings("ignore")
def test_a_damaged_checkpoint_loads_or_says_what_is_wrong(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    whole, original = good.read_bytes(), torch.load(good, weights_only=True)
    for part in ("callbacks", "loops", "optimizer_states", "lr_schedulers"):
        del original[part]
    file = tmp_path / "fuzzed.ckpt"
    seed = int(os.environ.get("MLEMO_FUZZ_SEED", "0"))
    end, tries, refused = time.monotonic() + SECONDS, 0, 0
    while time.monotonic() < end:
        rng = random.Random(seed + tries)
        tries += 1
        if tries % 4 == 0:
            file.write_bytes(damage(whole, rng))
        else:
            content = copy.deepcopy(original)
            for _ in range(rng.choice([1, 1, 1, 2, 5])):
                mutate(content, rng)
            torch.save(content, file)
        for use in (mlemo.load, lambda path: stored_config(read_checkpoint(path), INFERENCE)):
            error = outcome(use, file)
            refused += error is not None
            message = str(error).strip()
            fine = error is None or (
                isinstance(error, ValueError | FileNotFoundError) and len(message.split("\n")) == 1
            )
            assert fine, f"seed {seed + tries - 1}: {type(error).__name__}: {message}"
        left = {path.name for path in tmp_path.rglob("*")}
        assert left == {"fuzzed.ckpt", "temporary"}, f"seed {seed + tries - 1} left {left}"
    assert tries > 5
    assert refused > 5
