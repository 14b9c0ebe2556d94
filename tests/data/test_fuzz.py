"""Every reader over files with random faults: it reads them, or says in a `ValueError` what is wrong with which file.

Each reader gets its share of ``MLEMO_FUZZ_SECONDS`` (4 if it is not set; an hour finds more), and faults are drawn with
``MLEMO_FUZZ_SEED`` (0 if it is not set). A failure names reader, seed and fault; the faulty file is kept where it says.
"""

from __future__ import annotations

import gzip
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pytest
import torch
from pyarrow import parquet
from scipy.io import savemat

from mlemo.data import NLPCC2018, ExaAEC, GoEmotions, Mulan, RenCECps, SemEval2018, SemEval2025, TextFiles
from mlemo.data.io.arff import read_arff
from mlemo.labels import LabelSpace
from mlemo.nn.lexicon import Lexicon
from mlemo.nn.vector_files import read_vectors
from mlemo.runs.predictions import Predictions, read_predictions, write_predictions

SECONDS = float(os.environ.get("MLEMO_FUZZ_SECONDS", "4"))
SEED = int(os.environ.get("MLEMO_FUZZ_SEED", "0"))
LONGEST = 30  # seconds that one reading may take
FIXTURES = Path(__file__).parent
LABELS = ["joy", "anger", "fear"]
SPLITS = ("train", "val", "test")


def _splits(corpus: Any) -> None:
    for split in SPLITS:
        corpus.corpus(split)


def _text_files(file: str, **settings: Any) -> Callable[[Path], None]:
    return lambda folder: TextFiles(LABELS, file, file, file, data_dir=folder, **settings).corpus("train") and None


def _mulan(name: str, **settings: Any) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        data = Mulan(name, folder, **settings)
        data.corpus("all")
        data.report()

    return read


#: Of each reader: the folder of its files ("made": they are made here), which of them get faults, and the call.
READERS: dict[str, tuple[str, str, Callable[[Path], object]]] = {
    "GoEmotions": ("goemotions", "*", lambda folder: _splits(GoEmotions(folder))),
    "SemEval2018": ("semeval2018", "*-En-*", lambda folder: _splits(SemEval2018("english", folder))),
    "SemEval2025": ("semeval2025", "*/*/eng.csv", lambda folder: _splits(SemEval2025(["eng", "deu"], folder))),
    "NLPCC2018": ("nlpcc2018", "*", lambda folder: _splits(NLPCC2018(folder))),
    "RenCECps": ("rencecps", "cet_*.xml", lambda folder: _splits(RenCECps(folder))),
    "ExaAEC": ("exaaec", "*", lambda folder: _splits(ExaAEC(folder))),
    "CSV": ("files", "train.csv", _text_files("train.csv", id_column="id")),
    "TSV": ("files", "val.tsv", _text_files("val.tsv", empty="no")),
    "CSV with label sets": ("files", "sets.csv", _text_files("sets.csv", label_column="emotions")),
    "JSON lines": ("files", "test.jsonl", _text_files("test.jsonl", id_column="id")),
    "Parquet": ("made", "rows.parquet", _text_files("rows.parquet", id_column="id")),
    "Parquet with label sets": ("made", "rows.parquet", _text_files("rows.parquet", label_column="labels")),
    "GoEmotions in Parquet": ("made", "simplified/*", lambda folder: GoEmotions(hub=str(folder)).corpus("train")),
    "Mulan, dense": ("mulan", "scene/*", _mulan("scene", folds=2)),
    "Mulan, sparse": ("mulan", "parcels/*", _mulan("parcels", folds=2)),
    "ARFF": ("mulan", "scene/*.arff", lambda folder: read_arff(folder / "scene" / "scene-train.arff")),
    "MATLAB": ("made", "own/*.mat", _mulan("own", folds=2)),
    "predictions": ("made", "predictions_test.csv", lambda folder: read_predictions(folder / "predictions_test.csv")),
    "word vectors": ("made", "words.vec", lambda folder: read_vectors(folder / "words.vec", {"so", "happy"}, 10)),
    "lexicon": ("made", "lexicon.csv", lambda folder: Lexicon(folder / "lexicon.csv").read()),
}


def _made(folder: Path) -> None:
    """Files in the formats that no fixture has."""
    rows, draw = 12, np.random.default_rng(0)
    texts = [f"so {'happy' if row % 2 else 'angry'} {row} é يوم" for row in range(rows)]
    columns: dict[str, Any] = {"id": [f"r{row}" for row in range(rows)], "text": texts}
    columns |= {name: [1, 0, None, 1] * 3 if name == "fear" else draw.integers(0, 2, rows).tolist() for name in LABELS}
    parquet.write_table(
        pyarrow.table(columns | {"labels": [["joy"], ["anger", "fear"], None] * 4}), folder / "rows.parquet"
    )
    (folder / "simplified").mkdir()
    table = pyarrow.table({"text": texts, "labels": [[row % 28, 27] for row in range(rows)], "id": columns["id"]})
    parquet.write_table(table, folder / "simplified" / "train-0.parquet", compression="gzip")
    (folder / "own").mkdir()
    matrices = {"data": draw.random((20, 3)), "target": draw.integers(0, 2, (2, 20)).astype(float)}
    savemat(folder / "own" / "own.mat", matrices, do_compression=True)
    probabilities = torch.rand(rows, 2, generator=torch.Generator().manual_seed(0))
    gold = probabilities > 0.4
    space = LabelSpace(("joy", "a b"))
    path = folder / "predictions_test.csv"
    write_predictions(Predictions(path, space, columns["id"], gold, gold | True, ~gold, probabilities))
    (folder / "words.vec").write_text("3 2\nso 0.5 1\nhappy -1 2e-3\né 0 1\n", encoding="utf-8")
    pd.DataFrame({"word": ["so", "happy"], "joy": [0.1, 0.9]}).to_csv(folder / "lexicon.csv", index=False)


TOKENS = (
    *(b'"', b"'", b"\\", b",", b"\t", b"\n", b"\r", b"\r\n", b"\0", b"\xff", b"\xc3", b"\xef\xbb\xbf", b"\xe2\x80\xa8"),
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b"[[" * 60,
        b"%",
        b"?",
        b"<",
        b">",
        b"&",
        b"&#0;",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
        b"\\ud83d",
    ),
    *(
        b"0",
        b"1",
        b"-1",
        b"2",
        b"1.5",
        b"nan",
        b"inf",
        b"1e999",
        b"9" * 5000,
        b"1_0",
        "٣".encode(),
        b"null",
        b"true",
        b" ",
    ),
    *(
        b"@data",
        b"@attribute a numeric\n",
        b"id",
        b"text",
        b"joy",
        b"Err:508",
        b"NONE",
        b"x" * 200_000,
        b"\x80\x7f\xff\xff",
    ),
)


def _fault(content: bytes, draw: random.Random) -> tuple[bytes, str]:
    """Content with a fault, and what it is."""
    kind = draw.choice(("byte", "bit", "insert", "delete", "repeat", "cut", "lines", "line", "cells", "empty"))
    start = draw.randrange(len(content) + 1)
    end = min(len(content), start + draw.choice((1, 2, 5, 20, 200)))
    if kind in ("byte", "bit"):
        new = draw.randrange(256) if kind == "byte" else content[start - 1] ^ (1 << draw.randrange(8)) if content else 0
        return content[: start - 1] + bytes([new]) + content[start:], f"{kind} {start}"
    if kind == "insert":
        token = draw.choice(TOKENS)
        return content[:start] + token + content[start:], f"insert {token[:20]!r} at {start}"
    if kind in ("delete", "repeat", "cut"):
        parts = {"delete": b"", "repeat": content[start:end] * draw.choice((2, 50)), "cut": None}[kind]
        return content[:start] if parts is None else content[:start] + parts + content[end:], f"{kind} {start}:{end}"
    if kind == "empty":
        return draw.choice((b"", b"\n", b" ", b"\xef\xbb\xbf", b"\xff\xfe", b"\x1f\x8b")), "empty"
    separator = draw.choice((b",", b"\t", b" ", b"<", b">")) if kind == "cells" else b"\n"
    parts = content.split(separator)
    first, second = draw.randrange(len(parts)), draw.randrange(len(parts))
    if kind == "line":
        parts[first] = draw.choice(TOKENS)
    else:
        parts[first], parts[second] = parts[second], parts[first] + draw.choice((b"", parts[second]))
    return separator.join(parts), f"{kind} {first}, {second}, {separator!r}"


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Break off what takes longer."""

    def ring(*args: object) -> None:
        raise TimeoutError(f"nothing after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _error(read: Callable[[Path], object], folder: Path) -> Exception | None:
    try:
        with at_most(LONGEST):
            read(folder)
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize("reader", READERS)
def test_a_faulty_file_is_read_or_named(reader: str, tmp_path: Path) -> None:
    fixture, files, read = READERS[reader]
    folder = tmp_path / "files"
    if fixture == "made":
        folder.mkdir()
        _made(folder)
    else:
        shutil.copytree(FIXTURES / fixture, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    originals = {path: path.read_bytes() for path in sorted(folder.glob(files)) if path.is_file()}
    assert originals
    read(folder)
    draw = random.Random(f"{SEED} {reader}")
    until, count, named = time.monotonic() + SECONDS / len(READERS), 0, 0
    while count < 3 or time.monotonic() < until:
        count += 1
        path = draw.choice(list(originals))
        packed = path.suffix == ".gz" and draw.random() < 0.7  # else faults of the packing itself
        content, faults = gzip.decompress(originals[path]) if packed else originals[path], []
        for _ in range(draw.choice((1, 1, 1, 2, 4))):
            content, fault = _fault(content, draw)
            faults.append(fault)
        path.write_bytes(gzip.compress(content) if packed else content)
        where = f"{reader}, seed {SEED}, fault {count} of {path}: {'; '.join(faults)}"
        found = _error(read, folder)
        if found is not None:
            kind, message = type(found), str(found)
            assert kind in (ValueError, FileNotFoundError), f"{where}: {kind.__name__}: {message}"
            assert str(folder) in message, f"{where}: the message does not name the file: {message}"
            assert len(message) < 20_000, where
            named += 1
        path.write_bytes(originals[path])
    assert named, f"{reader}: none of {count} faults was found"
