"""Columns that grow by parts, in memory and on disk, against the same values given at once."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest

from mlemo.data.columns import Columns, NotKept, as_tensor, narrow
from mlemo.data.strings import Strings, parts_of

TEXTS = ["", "joy", "خوف شديد", "", "a" * 1000, "\ufeff🤬", ""]


@pytest.fixture(params=[False, True])
def columns(request: pytest.FixtureRequest, tmp_path: Path) -> Columns:
    return Columns(tmp_path if request.param else None)


def test_parts_are_one_batch(columns: Columns) -> None:
    for begin in (0, 2, 2, 5):
        part = TEXTS[begin : begin + 3]
        columns.add_strings("text", part)
        columns.add_rows("labels", np.arange(2 * len(part), dtype=np.float32).reshape(-1, 2) + begin)
        columns.add_lists("tokens", np.arange(begin, dtype=np.uint16), np.array([begin, *[0] * (len(part) - 1)]))
    batch = columns.batch()
    texts = [text for begin in (0, 2, 2, 5) for text in TEXTS[begin : begin + 3]]
    assert batch["text"].to_pylist() == texts
    assert list(Strings(batch["text"])) == texts
    expected = [list(map(float, row)) for b, n in ((0, 3), (2, 3), (2, 3), (5, 2)) for row in _rows(n, b)]
    assert batch["labels"].to_pylist() == expected
    assert [len(row) for row in batch["tokens"].to_pylist()] == [0, 0, 0, 2, 0, 0, 2, 0, 0, 5, 0]
    assert as_tensor(batch["tokens"].values).tolist() == [0, 1, 0, 1, 0, 1, 2, 3, 4]
    batch.validate(full=True)


def _rows(count: int, begin: int) -> Any:
    return np.arange(2 * count).reshape(-1, 2) + begin


@pytest.mark.parametrize(("largest", "kind"), [(65_535, "uint16"), (65_536, "int32")])
@pytest.mark.parametrize("last", [False, True])
def test_token_ids_are_as_narrow_as_the_largest_allows(columns: Columns, largest: int, kind: str, last: bool) -> None:
    parts = [[1, 65_535, 2], [], [largest, 0]]
    for part in parts if last else parts[::-1]:
        columns.add_lists("tokens", narrow(np.array(part, dtype=np.int64)), np.array([len(part)]))
    batch = columns.batch()
    assert str(batch["tokens"].type.value_type) == kind
    assert batch["tokens"].to_pylist() == (parts if last else parts[::-1])


def test_columns_without_a_value(columns: Columns) -> None:
    columns.add_strings("text", ["", ""])
    columns.add_lists("tokens", np.zeros(0, np.uint16), np.zeros(2, np.int64))
    batch = columns.batch()
    assert batch["text"].to_pylist() == ["", ""]
    assert batch["tokens"].to_pylist() == [[], []]


def test_a_full_disk_is_no_other_error() -> None:
    columns = Columns(Path("/dev/full"))
    with pytest.raises(NotKept):
        columns.add_rows("labels", np.zeros((1, 1)))


def test_tensors_are_views() -> None:
    columns = Columns()
    columns.add_rows("labels", np.arange(6.0).reshape(3, 2))
    array = columns.batch()["labels"].values
    assert as_tensor(array).data_ptr() == array.buffers()[1].address


# strings --------------------------------------------------------------------------------------------------------------


def test_strings_are_read_as_a_list_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlemo.data.strings.PART", 3)
    strings = Strings(pyarrow.array(TEXTS, pyarrow.large_string()))
    assert len(strings) == len(TEXTS)
    assert list(strings) == TEXTS
    assert [strings[row] for row in range(-7, 7)] == [TEXTS[row] for row in range(-7, 7)]
    assert strings[1:6:2] == TEXTS[1:6:2]
    assert strings == TEXTS
    assert strings != TEXTS[1:]
    assert strings != [*TEXTS[:-1], "x"]
    with pytest.raises(IndexError):
        strings[7]
    assert list(strings.take([6, 1, 1])) == ["", "joy", "joy"]
    assert Strings.concatenate([strings, strings.take([1])]) == [*TEXTS, "joy"]
    assert list(parts_of(strings)) == list(parts_of(TEXTS)) == [TEXTS[:3], TEXTS[3:6], TEXTS[6:]]
    assert "joy" in strings
    assert strings.index("joy") == 1
