import hashlib
import re

import pyarrow
import pytest
from pyarrow import parquet

from mlemo.data.io.fetch import download, find_file, hub_table
from mlemo.utils.fetched import fetched

HOW = "Ask the authors."


def raises(message: str, error: type[Exception] = FileNotFoundError):
    return pytest.raises(error, match=re.escape(message))


# a folder -------------------------------------------------------------------------------------------------------------


def test_find_file_takes_the_first_candidate_that_is_there(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.txt").write_text("deep")
    assert find_file(tmp_path, ["a.txt", "deep/a.txt"], HOW) == tmp_path / "deep" / "a.txt"
    (tmp_path / "a.txt").write_text("top")
    assert find_file(tmp_path, ["a.txt", "deep/a.txt"], HOW) == tmp_path / "a.txt"


def test_find_file_says_what_is_missing_what_is_there_and_how_to_get_it(tmp_path):
    with raises("no data_dir is given. Ask the authors."):
        find_file(None, ["a.txt"], HOW)
    with raises(f"data_dir {tmp_path / 'no'} is no folder. Ask the authors."):
        find_file(tmp_path / "no", ["a.txt"], HOW)
    with raises("has none of ['a.txt'], found nothing. Ask the authors."):
        find_file(tmp_path, ["a.txt"], HOW)
    for number in range(12):
        (tmp_path / f"b{number:02d}.txt").write_text("")
    with raises("has none of ['a.txt', 'c/a.txt'], found b00.txt, b01.txt,"):
        find_file(tmp_path, ["a.txt", "c/a.txt"], HOW)
    with raises("b09.txt, …. Ask the authors."):
        find_file(tmp_path, ["a.txt"], HOW)


# the hub --------------------------------------------------------------------------------------------------------------


def test_hub_in_a_local_folder_joins_the_files_of_a_split(tmp_path):
    (tmp_path / "eng").mkdir()
    for number, texts in enumerate([["a", "b"], ["c"]]):
        parquet.write_table(pyarrow.table({"text": texts}), tmp_path / "eng" / f"train-0000{number}-of-00002.parquet")
    table = hub_table(str(tmp_path), "eng", "train", HOW)
    assert table.columns == {"text": ["a", "b", "c"]}
    assert table.where(2).endswith("eng/train, row 3")
    with raises("has no eng/dev-*.parquet. Ask the authors."):
        hub_table(str(tmp_path), "eng", "dev", HOW)


def test_hub_asks_the_datasets_library(monkeypatch):
    import datasets

    def load(name, config, *, split):
        assert (name, config, split) == ("owner/name", "simplified", "validation")
        return datasets.Dataset.from_dict({"text": ["a", "b"], "labels": [[0], [1, 2]]})

    monkeypatch.setattr(datasets, "load_dataset", load)
    table = hub_table("owner/name", "simplified", "validation", HOW)
    assert table.columns == {"text": ["a", "b"], "labels": [[0], [1, 2]]}
    assert table.where(1) == "owner/name/simplified/validation, row 2"


def test_what_was_read_from_the_hub_has_a_checksum_of_its_cells(tmp_path, monkeypatch):
    import datasets

    def checksum(hub: str) -> str:
        hub_table(hub, "eng", "train", HOW)
        return fetched()[f"{hub}/eng/train"]

    def written(name: str, *parts: dict) -> str:
        (tmp_path / name / "eng").mkdir(parents=True)
        for number, part in enumerate(parts):
            parquet.write_table(pyarrow.table(part), tmp_path / name / "eng" / f"train-{number}.parquet")
        return checksum(str(tmp_path / name))

    columns = {"text": ["é", "b"], "labels": [[0], [1, 2]]}
    one = written("one", columns)
    assert one.startswith("sha256:")
    assert written("two", *({name: [cells[row]] for name, cells in columns.items()} for row in (0, 1))) == one
    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **kwargs: datasets.Dataset.from_dict(columns))
    assert checksum("owner/name") == one
    others = [
        {"text": ["e", "b"], "labels": [[0], [1, 2]]},
        {"text": ["é", "b"], "labels": [[0, 1], [2]]},
        {"text": ["b", "é"], "labels": [[1, 2], [0]]},
        {"words": ["é", "b"], "labels": [[0], [1, 2]]},
    ]
    assert len({one, *(written(f"other{number}", other) for number, other in enumerate(others))}) == 5


def test_hub_out_of_reach(monkeypatch):
    import datasets

    def load(*args, **kwargs):
        raise ConnectionError("no route")

    monkeypatch.setattr(datasets, "load_dataset", load)
    with raises("could not fetch owner/name (eng, train): ConnectionError: no route. Ask the authors."):
        hub_table("owner/name", "eng", "train", HOW)


# an address -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A file with an address and a checksum, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "data.csv"
    path.write_bytes(b"text,label\na,b\n")
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def test_download_keeps_the_file(source, tmp_path):
    path, checksum = source
    kept = download(path.as_uri(), checksum, HOW)
    assert kept.read_bytes() == path.read_bytes()
    assert fetched()[path.as_uri()] == f"sha256:{checksum}"
    assert kept.parent == tmp_path / "cache" / "mlemo"
    assert kept.name.endswith("data.csv")
    path.unlink()
    assert download(path.as_uri(), checksum, HOW) == kept  # from the cache


def test_download_fetches_again_what_was_spoilt(source):
    path, checksum = source
    kept = download(path.as_uri(), checksum, HOW)
    kept.write_bytes(b"half a fi")
    assert download(path.as_uri(), checksum, HOW).read_bytes() == path.read_bytes()


def test_download_refuses_another_file(source):
    path, checksum = source
    path.write_bytes(b"something else")
    with raises(f"{path.as_uri()} is not the file that was expected: invalid hash value", ValueError):
        download(path.as_uri(), checksum, HOW)
    with raises("Ask the authors.", ValueError):  # nothing was kept
        download(path.as_uri(), checksum, HOW)


def test_download_out_of_reach(source):
    path, checksum = source
    path.unlink()
    with raises(f"could not fetch {path.as_uri()}: "):
        download(path.as_uri(), checksum, HOW)
    with raises("Ask the authors."):
        download(path.as_uri(), checksum, HOW)
