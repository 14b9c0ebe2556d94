"""Corpora and tokens in mapped files: the same texts, labels and batches as in memory."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mlemo.batch import FeatureInput, TextInput
from mlemo.data import Corpus, TextFiles
from mlemo.data.collate import batched
from mlemo.data.io.arrow_cache import ArrowCache
from mlemo.data.kept import keep
from mlemo.data.strings import Strings
from mlemo.text import Tweets

ROWS = [5, 0, 22, 5, 13]
LABELS = ["joy", "anger"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArrowCache:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr("mlemo.data.strings.PART", 7)
    monkeypatch.setattr("mlemo.data.kept.PART", 7)
    return ArrowCache()


def files(cache: ArrowCache) -> list[str]:
    return sorted(path.name for path in cache.folder.glob("*.arrow"))


def equal(one: Any, other: Any) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert tensor.dtype == other[name].dtype
        assert torch.equal(tensor, other[name]), name


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"max_length": 12},
        {"prompt": "words_masks", "token_types": True},
        {"prompt": "words", "prompt_order": "free"},
        {"prompt": "masks"},
        {"fixed_length": True},
        {"cleaning": Tweets()},
    ],
)
def test_batches_are_those_of_memory(tokenizer: Any, corpus: Corpus, cache: ArrowCache, settings: dict) -> None:
    text_input = TextInput(tokenizer, **{"max_length": 100, **settings})
    plain = batched(corpus, text_input)
    for _ in range(2):  # made, and read again
        mapped = batched(keep(corpus, cache), text_input, cache)
        assert torch.equal(mapped.lengths, plain.lengths)
        assert len(mapped) == len(plain)
        for rows in (ROWS, [3], range(len(corpus))):
            equal(mapped.__getitems__(rows), plain.__getitems__(rows))
        assert len(files(cache)) == 2


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells what is mapped")
def test_columns_are_pages_of_the_files(tokenizer: Any, corpus: Corpus, cache: ArrowCache) -> None:
    mapped = batched(keep(corpus, cache), TextInput(tokenizer, 64), cache)
    lines = [line for line in Path("/proc/self/maps").read_text().splitlines() if str(cache.folder) in line]
    spans = [[int(end, 16) for end in line.split()[0].split("-")] for line in lines]
    for column in (mapped.tokens, mapped.starts, mapped.labels, mapped.mask):
        assert any(begin <= column.data_ptr() < end for begin, end in spans)
    addresses = [mapped.corpus.texts.array.buffers()[2].address, mapped.corpus.ids.array.buffers()[2].address]
    assert all(any(begin <= address < end for begin, end in spans) for address in addresses)


def test_batches_of_features_are_those_of_memory(corpus: Corpus, cache: ArrowCache) -> None:
    count = FeatureInput(lambda texts: torch.tensor([[len(text), len(text.split())] for text in texts]))
    equal(batched(keep(corpus, cache), count, cache).__getitems__(ROWS), batched(corpus, count).__getitems__(ROWS))


@pytest.mark.parametrize("shift", [0, 1])
def test_ids_above_65_535_are_wider(corpus: Corpus, cache: ArrowCache, tokenizer: Any, shift: int) -> None:
    class Shifted:
        """Token ids whose largest is 65,535 + shift."""

        def __init__(self) -> None:
            self.backend_tokenizer, self.truncation_side = tokenizer.backend_tokenizer, tokenizer.truncation_side
            self.pad_token_id = 0

        def __call__(self, texts: Any, *args: Any, **kwargs: Any) -> Any:
            encoded = tokenizer(texts, *args, **kwargs)
            for ids in encoded["input_ids"] if isinstance(texts, list) else ():
                ids[:] = [65_535 + shift - token for token in range(len(ids))]
            return encoded

    plain, mapped = (batched(corpus, TextInput(Shifted(), 64), place) for place in (None, cache))
    assert plain.tokens.dtype == mapped.tokens.dtype == (torch.int32 if shift else torch.int16)
    equal(plain.__getitems__(ROWS), mapped.__getitems__(ROWS))
    assert mapped.__getitems__(ROWS)["input_ids"].max() == 65_535 + shift


def test_a_kept_corpus_is_the_corpus(corpus: Corpus, cache: ArrowCache) -> None:
    corpus.texts[3] = ""
    corpus.texts[4] = "\ufeff  line\nbreak خوف 🤬"
    corpus.dropped, corpus.warnings = {"no text": 2}, ("few",)
    mapped = keep(corpus, cache)
    assert isinstance(mapped.texts, Strings)
    assert mapped.texts == corpus.texts
    assert mapped.ids == corpus.ids
    assert torch.equal(mapped.labels, corpus.labels)
    assert torch.equal(mapped.mask, corpus.mask)
    assert (mapped.labels.dtype, mapped.mask.dtype) == (torch.float32, torch.bool)
    assert (mapped.dropped, mapped.warnings) == ({"no text": 2}, ("few",))
    assert keep(mapped, cache) is mapped
    part = mapped.select([4, 0])
    assert part.texts == [corpus.texts[4], corpus.texts[0]]
    assert part.ids == [corpus.ids[4], corpus.ids[0]]
    joined = Corpus.concatenate([mapped, part])
    assert joined.texts == [*corpus.texts, *part.texts]
    assert Corpus.concatenate([corpus, part]).texts == joined.texts
    assert keep(part, cache).texts == part.texts
    assert len(files(cache)) == 2


@pytest.mark.parametrize("change", ["text", "id", "label", "mask", "name"])
def test_another_corpus_has_another_file(corpus: Corpus, cache: ArrowCache, change: str) -> None:
    keep(corpus, cache)
    parts = {"labels": corpus.labels.clone(), "mask": corpus.mask.clone(), "ids": list(corpus.ids)}
    parts |= {"texts": list(corpus.texts), "label_space": corpus.label_space}
    if change == "text":  # the same characters, cut elsewhere
        parts["texts"][0], parts["texts"][1] = parts["texts"][0] + parts["texts"][1][:1], parts["texts"][1][1:]
    elif change == "id":
        parts["ids"][0] = "x"
    elif change == "name":
        parts["label_space"] = type(corpus.label_space)(("joy", "trust", "anger", "fear", "unease"))
    else:
        cell = parts["labels" if change == "label" else "mask"]
        cell[0, 0] = not cell[0, 0]
    changed = keep(Corpus(**parts), cache)
    assert len(files(cache)) == 2
    assert changed.texts == parts["texts"]


@pytest.mark.parametrize("change", ["tokenizer", "max_length", "cleaning", "switch", "prompt", "text"])
def test_other_tokens_have_another_file(
    tokenizer: Any, roberta: Any, corpus: Corpus, cache: ArrowCache, change: str
) -> None:
    settings: dict[str, Any] = {"tokenizer": tokenizer, "max_length": 64, "cleaning": Tweets()}
    batched(corpus, TextInput(**settings), cache)
    if change == "text":
        corpus.texts[7] += " never"
    settings |= {
        "tokenizer": {"tokenizer": roberta},
        "max_length": {"max_length": 63},
        "cleaning": {"cleaning": None},
        "switch": {"cleaning": Tweets(lowercase=False)},
        "prompt": {"prompt": "words"},
        "text": {},
    }[change]
    mapped = batched(corpus, TextInput(**settings), cache)
    assert len(files(cache)) == 2
    equal(mapped.__getitems__(ROWS), batched(corpus, TextInput(**settings)).__getitems__(ROWS))


def test_prompts_of_one_length_share_a_file(tokenizer: Any, corpus: Corpus, cache: ArrowCache) -> None:
    words = [("joy", "so", "good", "day", "sea"), ("sea", "day", "good", "so", "joy")]
    for one in words:
        text_input = TextInput(tokenizer, 64, "words", label_words=one)
        equal(batched(corpus, text_input, cache).__getitems__(ROWS), batched(corpus, text_input).__getitems__(ROWS))
    assert len(files(cache)) == 1


def test_what_a_tokenizer_cut_before_does_not_count(tokenizer: Any, corpus: Corpus, cache: ArrowCache) -> None:
    for length in (64, 20, 64):
        batched(corpus, TextInput(tokenizer, length), cache)
    assert len(files(cache)) == 2


def test_an_unknown_cleaning_is_not_kept(
    tokenizer: Any, corpus: Corpus, cache: ArrowCache, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        dataset = batched(corpus, TextInput(tokenizer, 64, cleaning=str.upper), cache)
    assert "stay in the memory of each process: it is not known what this cleaning follows from" in caplog.text
    assert not files(cache)
    assert len(dataset) == len(corpus)


def test_half_a_surrogate_pair_stays_in_memory(
    tokenizer: Any, corpus: Corpus, cache: ArrowCache, caplog: pytest.LogCaptureFixture
) -> None:
    corpus.texts[9] = "joy \ud83d"
    with caplog.at_level(logging.WARNING):
        assert keep(corpus, cache) is corpus
    assert "half of a surrogate pair" in caplog.text
    equal(
        batched(corpus, TextInput(tokenizer, 64), cache).__getitems__([9]),
        batched(corpus, TextInput(tokenizer, 64)).__getitems__([9]),
    )


# the datamodule -------------------------------------------------------------------------------------------------------


def test_only_large_splits_are_mapped(data: Callable[..., Any], tokenizer: Any, tmp_path: Path) -> None:
    small, large = data(), data(map_from=10, cache_dir=tmp_path / "own")
    for split, mapped in (("train", True), ("val", False), ("test", True)):
        corpus = large.corpus(split)
        assert isinstance(corpus.texts, Strings) == mapped
        assert corpus.texts == small.corpus(split).texts
    text_input = TextInput(tokenizer, 64)
    equal(large.dataset("train", text_input).__getitems__(ROWS), small.dataset("train", text_input).__getitems__(ROWS))
    assert len(list((tmp_path / "own").glob("*.arrow"))) == 3
    assert large.report() == small.report()
    assert large.warnings() == small.warnings()
    assert large.corpus("all").texts == small.corpus("all").texts
    few = data(map_from=10, train_rows=12).corpus("train")
    assert few.texts == data(train_rows=12).corpus("train").texts
    assert isinstance(few.texts, Strings)
    assert data(map_from=None).corpus("train").texts == small.corpus("train").texts


def write(path: Path, rows: int, id_of: Callable[[int], object] = lambda row: f"r{row}") -> Path:
    lines = [f'{id_of(row)},"text {row}, خوف",{row % 2},{"" if row % 5 == 0 else row % 3 % 2}\n' for row in range(rows)]
    path.write_text("id,text,joy,anger\n" + "".join(lines))
    return path


def same_corpus(one: Corpus, other: Corpus) -> None:
    assert one.texts == other.texts
    assert one.ids == other.ids
    assert torch.equal(one.labels, other.labels)
    assert torch.equal(one.mask, other.mask)


@pytest.mark.parametrize("settings", [{}, {"id_column": "id"}, {"empty": "no"}])
def test_a_large_file_is_read_in_parts_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: ArrowCache, settings: dict
) -> None:
    monkeypatch.setattr("mlemo.data.io.tables.PART", 10)
    path = write(tmp_path / "rows.csv", 57)
    plain, mapped = (TextFiles(LABELS, path, path, path, map_from=size, **settings) for size in (None, 50))
    same_corpus(mapped.corpus("train"), plain.corpus("train"))
    assert isinstance(mapped.corpus("train").texts, Strings)
    monkeypatch.setattr("mlemo.data.files.file_parts", None)  # nothing is read any more
    again = TextFiles(LABELS, path, path, path, map_from=50, **settings)
    same_corpus(again.corpus("test"), plain.corpus("train"))
    assert len(files(cache)) == 1


def test_a_split_of_a_large_file_is_that_of_memory(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", 60)
    plain, mapped = (TextFiles(LABELS, path, map_from=size) for size in (None, 40))
    for split in ("train", "val", "test"):
        same_corpus(mapped.corpus(split), plain.corpus(split))
    assert isinstance(mapped.corpus("train").texts, Strings)
    assert not isinstance(mapped.corpus("val").texts, list)


def test_another_file_or_setting_is_read_again(tmp_path: Path, cache: ArrowCache) -> None:
    path = write(tmp_path / "rows.csv", 60)
    for number, settings in enumerate([{}, {"empty": "no"}, {"id_column": "id"}, {"labels": LABELS[::-1]}], start=1):
        found = TextFiles(**{"labels": LABELS, "train": path, "val": path, "test": path, "map_from": 50, **settings})
        found.corpus("train")
        assert len(files(cache)) == number
    stamp = path.stat()
    path.write_text(path.read_text().replace("text 7", "text 8"))
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert TextFiles(LABELS, path, path, path, map_from=50).corpus("train").texts[7] == "text 8, خوف"
    moved = path.rename(tmp_path / "elsewhere.csv")
    TextFiles(LABELS, moved, moved, moved, map_from=50).corpus("train")
    assert len(files(cache)) == 5


def test_faults_of_large_files_are_those_of_small_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlemo.data.io.tables.PART", 10)
    path = write(tmp_path / "rows.csv", 60, lambda row: row % 45)
    data = TextFiles(LABELS, path, path, path, map_from=50, id_column="id")
    with pytest.raises(ValueError, match=r"rows.csv:47: the id '0' occurs a second time, first in .*rows.csv:2"):
        data.corpus("train")
    path.write_text("text,joy,anger\n" + "a,1,0\nb,,0\n" * 30)
    with pytest.raises(ValueError, match=r"columns 'joy' \(30 of 1, none of 0, 30 empty\)"):
        TextFiles(LABELS, path, path, path, map_from=50).corpus("train")
    path.write_text("text,joy,anger\n" + "a,1,0\n" * 55 + "b,2,0\n")
    with pytest.raises(ValueError, match=r"rows.csv:57: column 'joy' holds '2', expected 0, 1 or an empty cell"):
        TextFiles(LABELS, path, path, path, map_from=50).corpus("train")
