"""Lexicons read from tables made here, and every way in which a table can be broken."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlemo.nn.lexicon import Lexicon

TABLE = [
    ("term", "joy", "fear"),
    ("Happy", "1", "0"),
    ("nan", "0.25", "-2"),
    ('"', "0", "0.5"),
    ("happy", "0", "1e-1"),
    ("éclair", "3", "0"),
]


def write(path: Path, rows: list[tuple[str, ...]] = TABLE, separator: str = "\t") -> Path:
    path.write_text("".join(separator.join(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_words_are_normalised_and_their_rows_averaged(tmp_path: Path) -> None:
    table = Lexicon(write(tmp_path / "l.tsv")).read(str.lower)
    expected = pd.DataFrame(
        [[0.5, 0.05], [0.25, -2], [0, 0.5], [3, 0]], index=["happy", "nan", '"', "éclair"], columns=["joy", "fear"]
    ).astype(np.float32)
    pd.testing.assert_frame_equal(table, expected)
    assert list(Lexicon(tmp_path / "l.tsv").read().index) == ["Happy", "nan", '"', "happy", "éclair"]


def test_columns_are_chosen_in_any_order(tmp_path: Path) -> None:
    rows = [("joy", "pos", "term", "fear"), ("1", "noun", "sea", "2")]
    table = Lexicon(write(tmp_path / "l.tsv", rows), word_column="term", columns=["fear", "joy"]).read()
    assert table.loc["sea"].to_dict() == {"fear": 2, "joy": 1}
    assert list(table.columns) == ["fear", "joy"]


def test_commas_quotes_marks_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_bytes('\ufeffterm,joy\r\n"a, b",1\r\n\r\nnull,2\r\n"""",3\r\n'.encode())
    assert Lexicon(path).read()["joy"].to_dict() == {"a, b": 1, "null": 2, '"': 3}


def test_a_compressed_table_is_read(tmp_path: Path) -> None:
    pd.DataFrame({"term": ["sea"], "joy": [0.5]}).to_csv(tmp_path / "l.csv.gz", index=False)
    assert Lexicon(tmp_path / "l.csv.gz").read()["joy"].to_dict() == {"sea": 0.5}


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        ([*TABLE[:3], ("sad", "x", "0")], {}, ":4: column 'joy' must be a finite number, found 'x'"),
        ([*TABLE[:2], ("sad", "0", "")], {}, ":3: column 'fear' must be a finite number, found ''"),
        ([*TABLE[:2], ("sad", "0", "inf")], {}, ":3: column 'fear' must be a finite number, found 'inf'"),
        ([*TABLE[:2], ("",), ("sad", "0")], {}, ":4: column 'fear' must be a finite number, found ''"),
        ([*TABLE[:2], ("sad", "0", "1", "2")], {}, " cannot be read as a table: "),
        ([("term", "joy"), ("sad", "0", "1")], {}, " cannot be read as a table: "),
        ([], {}, " cannot be read as a table: "),
        (TABLE, {"word_column": "word"}, ": no column 'word', found ['term', 'joy', 'fear']"),
        (TABLE, {"columns": ["fear", "sadness"]}, ": no column 'sadness', found ['term', 'joy', 'fear']"),
        ([("term",), ("sad",)], {}, ": expected a column of words and at least one of values"),
    ],
)
def test_a_broken_table_is_named(
    rows: list[tuple[str, ...]], settings: dict[str, str], message: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "l.tsv", rows)
    with pytest.raises(ValueError, match=rf"l\.tsv{re.escape(message)}"):
        Lexicon(path, **settings).read()


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no lexicon at .*l\.tsv"):
        Lexicon(tmp_path / "l.tsv").read()
