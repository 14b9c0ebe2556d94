import re
import shutil
from pathlib import Path

import pytest
import torch

from mlemo.data.goemotions import GoEmotions

HERE = Path(__file__).parent
FILES = {"train": "train", "val": "dev", "test": "test"}


def raises(message: str, error: type[Exception] = ValueError):
    return pytest.raises(error, match=re.escape(message))


def assert_reads(data: GoEmotions, rows: dict) -> None:
    for split, name in FILES.items():
        corpus = data.corpus(split)
        texts, sets, ids = map(list, zip(*rows[name]))
        assert corpus.texts == texts
        assert corpus.ids == ids
        assert [row.nonzero().flatten().tolist() for row in corpus.labels] == sets
        assert corpus.labels.dtype == torch.float32
        assert corpus.mask.all()


def test_reads_the_released_files(make):
    assert_reads(GoEmotions(HERE / "goemotions"), make("goemotions")["rows"]())


def test_reads_the_layout_of_the_hub(make, tmp_path):
    script = make("goemotions")
    script["write_hub"](tmp_path)
    assert_reads(GoEmotions(hub=str(tmp_path)), script["rows"]())


def test_labels_are_known_without_files():
    names = GoEmotions("nowhere").label_space.names
    assert len(names) == 28
    assert names == tuple((HERE / "goemotions" / "emotions.txt").read_text().split("\n"))


def test_emotions_txt_is_optional_but_checked(changed):
    folder = changed("goemotions", "emotions.txt", b"remorse", b"remorce")
    with raises("emotions.txt:25: found label 'remorce', expected 'remorse'. Did you mean 'remorse'?"):
        GoEmotions(folder).corpus("train")
    (folder / "emotions.txt").write_text("admiration\namusement")
    with raises("emotions.txt: found 2 labels, expected 28"):
        GoEmotions(folder).corpus("train")
    (folder / "emotions.txt").unlink()
    assert len(GoEmotions(folder).corpus("train")) == 40


@pytest.mark.parametrize("cell", [b"28", b"-1", b"", b"joy", b"1, 2", b"1,", b"2.0"])
def test_label_ids_out_of_range(changed, cell):
    folder = changed("goemotions", "dev.tsv", b"\t25\txd00000\n", b"\t" + cell + b"\txd00000\n")
    with raises(f"dev.tsv:1: label ids {cell.decode()!r}, expected numbers from 0 to 27, one at least"):
        GoEmotions(folder).corpus("val")


def test_label_ids_of_the_hub_are_checked_too(monkeypatch):
    from mlemo.data import goemotions
    from mlemo.data.io.tables import Table

    table = Table("hub", {"text": ["a", "b"], "labels": [[27], [28]], "id": ["x", "y"]}, [1, 2], unit="row")
    monkeypatch.setattr(goemotions, "hub_table", lambda *arguments: table)
    with raises("hub, row 2: label ids [28], expected numbers from 0 to 27"):
        GoEmotions().corpus("train")
    table.columns["labels"][1] = []
    with raises("hub, row 2: label ids [], expected numbers from 0 to 27, one at least"):
        GoEmotions().corpus("train")


def test_broken_rows_are_named(changed):
    folder = changed("goemotions", "test.tsv", b"\txt00001\n", b"\n")
    with raises("test.tsv:2: found 2 columns, expected 3 columns ['text', 'labels', 'id']"):
        GoEmotions(folder).corpus("test")


def test_another_number_of_rows_than_released_is_warned_of(monkeypatch):
    folder = HERE / "goemotions"
    rows = {split: len(GoEmotions(folder).corpus(split)) for split in ("train", "val", "test")}
    expected = (
        f"found {rows['train']} rows of the train split in {folder / 'train.tsv'}, expected 43,410 as in the official"
    )
    assert GoEmotions(folder, train_rows=2).warnings()[0].startswith(expected)
    monkeypatch.setattr("mlemo.data.goemotions.ROWS", rows)
    assert not any("official" in line for line in GoEmotions(folder, train_rows=2).warnings())


def test_doubled_and_disfigured_ids_are_named(changed, tmp_path):
    folder = changed("goemotions", "test.tsv", b"\txt00002\n", b"\txt00001\n")
    with raises("test.tsv:3: the id 'xt00001' occurs a second time, first in"):
        GoEmotions(folder).corpus("test")
    path = folder / "test.tsv"
    path.write_bytes(path.read_bytes().replace(b"\txt00001\n", b"\t\xef\xbb\xbfxt00001\n", 1))
    with raises(r"test.tsv:2: the id '\ufeffxt00001' holds U+FEFF"):
        GoEmotions(folder).corpus("test")


def test_missing_files_are_answered_with_where_to_get_them(tmp_path):
    shutil.copy(HERE / "goemotions" / "train.tsv", tmp_path)
    with raises("has none of ['dev.tsv'], found train.tsv. GoEmotions needs train.tsv, dev.tsv", FileNotFoundError):
        GoEmotions(tmp_path).corpus("val")


COUNTS = {  # rows; rows with 1, 2, 3, 4, 5 labels; rows of each label
    "train": (
        43_410,
        [36_308, 6_541, 532, 28, 1],
        "4130 2328 1567 2470 2939 1087 1368 2191 641 1269 2022 793 303 853 596 2662 77 1452 2086 164 1581 111 1110 153 "
        "545 1326 1060 14219",
    ),
    "val": (
        5_426,
        [4_548, 809, 62, 7, 0],
        "488 303 195 303 397 153 152 248 77 163 292 97 35 96 90 358 13 172 252 21 209 15 127 18 68 143 129 1766",
    ),
    "test": (
        5_427,
        [4_590, 774, 61, 2, 0],
        "504 264 198 320 351 135 153 284 83 151 267 123 37 103 78 352 6 161 238 23 186 16 145 11 56 156 141 1787",
    ),
}


def test_official_files_have_the_published_counts(official):
    data = GoEmotions(official("goemotions"))
    for split, (rows, cardinality, labels) in COUNTS.items():
        corpus = data.corpus(split)
        assert len(corpus) == rows
        assert [int((corpus.labels.sum(1) == number).sum()) for number in range(1, 6)] == cardinality
        assert corpus.labels.sum(0).int().tolist() == [int(count) for count in labels.split()]
    train, dev, test = (data.corpus(split).texts for split in COUNTS)
    assert [len(texts) - len(set(texts)) for texts in (train, dev, test)] == [183, 3, 6]
    assert [len(set(a) & set(b)) for a, b in ((train, dev), (train, test), (dev, test))] == [41, 32, 10]
    assert [sum(text != text.strip() for text in texts) for texts in (train, dev, test)] == [2732, 314, 325]
    assert len(set(data.corpus("all").ids)) == sum(rows for rows, _, _ in COUNTS.values())
