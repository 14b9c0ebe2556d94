"""Files of the cache: made once, by one of several processes; damaged ones are made anew."""

import logging
import multiprocessing
import shutil
import time
from pathlib import Path

import numpy as np
import pyarrow
import pytest

from mlemo.data.columns import Columns, as_tensor
from mlemo.data.io.arrow_cache import ArrowCache, content_key


@pytest.fixture
def made() -> list[int]:
    return []


@pytest.fixture
def fill(made: list[int]):
    def put(columns: Columns) -> None:
        made.append(1)
        columns.add_rows("x", np.arange(6000.0).reshape(-1, 2))

    return put


def test_a_table_is_made_once_and_mapped(tmp_path: Path, fill, made: list[int]) -> None:
    folder = tmp_path / "new" / "cache"
    first = ArrowCache(folder).get("k", fill)
    second = ArrowCache(str(folder)).get("k", fill)
    assert made == [1]
    assert first.equals(second)
    assert as_tensor(second["x"].values).tolist() == list(range(6000))
    assert sorted(path.name for path in folder.iterdir()) == ["k.arrow", "k.lock"]
    ArrowCache(folder).get("other", fill)
    assert made == [1, 1]


def test_a_write_to_the_memory_does_not_reach_the_file(tmp_path: Path, fill, made: list[int]) -> None:
    values = as_tensor(ArrowCache(tmp_path).get("k", fill)["x"].values)
    values[:] = 7.0
    assert as_tensor(ArrowCache(tmp_path).get("k", fill)["x"].values).tolist() == list(range(6000))
    assert made == [1]


def test_the_file_is_an_arrow_stream(tmp_path: Path, fill) -> None:
    ArrowCache(tmp_path).get("k", fill)
    with pyarrow.memory_map(str(tmp_path / "k.arrow")) as file:
        assert pyarrow.ipc.open_stream(file).read_all()["x"].to_pylist()[1] == [2.0, 3.0]


@pytest.mark.parametrize("damage", ["cut", "empty", "bit", "other key", "longer"])
def test_a_damaged_file_is_made_anew_with_a_warning(
    tmp_path: Path, fill, made: list[int], damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "k.arrow"
    ArrowCache(tmp_path).get("other" if damage == "other key" else "k", fill)
    if damage == "other key":
        shutil.copy(tmp_path / "other.arrow", path)
    content = bytearray(path.read_bytes())
    if damage == "bit":
        content[len(content) // 2] ^= 1
    path.write_bytes({"cut": content[:-100], "empty": b"", "longer": content + b"x"}.get(damage, content))
    with caplog.at_level(logging.WARNING):
        table = ArrowCache(tmp_path).get("k", fill)
    assert as_tensor(table["x"].values).tolist() == list(range(6000))
    assert made == [1, 1]
    assert f"{path} are damaged and made anew" in caplog.text
    ArrowCache(tmp_path).get("k", fill)
    assert made == [1, 1]


def test_what_a_killed_process_left_is_removed(tmp_path: Path, fill) -> None:
    left = tmp_path / "k.part-1234"
    left.mkdir()
    (left / "x.values").write_bytes(b"half")
    ArrowCache(tmp_path).get("k", fill)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["k.arrow", "k.lock"]


@pytest.mark.parametrize("place", ["folder", "full"])
def test_without_a_place_the_table_is_in_memory(
    tmp_path: Path, fill, place: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "file" if place == "folder" else tmp_path
    if place == "folder":
        folder.write_text("no folder")
    else:
        monkeypatch.setattr("mlemo.data.columns._Values._widen", _full)
    with caplog.at_level(logging.WARNING):
        table = ArrowCache(folder).get("k", fill)
    assert as_tensor(table["x"].values).tolist() == list(range(6000))
    assert "cannot be kept" in caplog.text
    assert not list(tmp_path.glob("*.arrow"))
    assert not list(tmp_path.glob("*.part-*"))


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_fault_of_the_data_is_not_hidden_and_leaves_nothing(tmp_path: Path) -> None:
    def fail(columns: Columns) -> None:
        columns.add_rows("x", np.zeros((1, 1)))
        raise ValueError("line 7")

    with pytest.raises(ValueError, match="line 7"):
        ArrowCache(tmp_path).get("k", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["k.lock"]


def _race(folder: Path, name: str) -> None:
    (folder / f"ready-{name}").touch()
    while len(list(folder.glob("ready-*"))) < 2:
        time.sleep(0.001)

    def fill(columns: Columns) -> None:
        (folder / f"made-{name}").touch()
        for part in range(20):
            columns.add_rows("x", np.full((1000, 2), part, np.float32))
            time.sleep(0.005)

    table = ArrowCache(folder / "cache").get("k", fill)
    (folder / f"sum-{name}").write_text(str(table["x"].values.to_numpy().sum()))


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_of_two_processes_that_start_at_once_one_makes_the_table(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")  # the imports of a new process take seconds
    both = [context.Process(target=_race, args=(tmp_path, name)) for name in "ab"]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert [path.read_text() for path in tmp_path.glob("sum-*")] == [str(float(sum(range(20)) * 2000))] * 2
    assert len(list(tmp_path.glob("made-*"))) == 1
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["k.arrow", "k.lock"]


def test_keys_differ_where_contents_do() -> None:
    keys = [
        content_key(*parts)
        for parts in [(), ("",), ("ab",), ("a", "b"), ("", "ab"), (b"ab", "c"), ("abc",), ([b"a", b"b"], "c", "")]
    ]
    assert len(set(keys)) == len(keys)
    assert content_key("é", iter([b"a", b"b"])) == content_key("é".encode(), b"ab")
    assert len(content_key("\ud83d")) == 32
