"""Addresses of runs: what changes them and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlemo.experiments.runs import HARDWARE, address_of, checksum, data_checksums
from mlemo.training.resolve import resolve

WORDS = ["--data=SyntheticEmotions", "--data.size=40", "--model=BertWDL", "--model.encoder=FromScratch",
         "--model.loss=FocalLoss", "--seed_everything=3"]  # fmt: skip


def address(*words: str) -> str:
    return address_of(resolve(words), {})


def test_an_address_depends_on_what_changes_the_result_only() -> None:
    same = address(*WORDS)
    assert same.startswith("r")
    assert len(same) == 20
    first, size, *rest = WORDS
    assert address(*rest, first, size) == same  # order
    assert address(*WORDS, "--data.batch_size=16") == same  # a default
    place = ["--data.map_from=null", "--data.cache_dir=/tmp", "--data.on_device=auto"]
    assert address(*WORDS, *place) == same
    assert address(*WORDS, "--trainer.logger.save_dir=elsewhere", "--figures.every_n_epochs=3", "--cost.skip=9") == same
    changes = ["--seed_everything=4", "--data.size=41", "--model.loss.gamma=3", "--data.global_batch_size=16",
               "--trainer.devices=2", "--trainer.precision=64-true"]  # fmt: skip
    assert len({same, *(address(*WORDS, word) for word in changes)}) == 1 + len(changes)


def test_settings_that_came_later_change_no_address() -> None:
    config = resolve([*HARDWARE, *WORDS])
    assert config["data"]["init_args"].pop("global_batch_size") is None
    for name in ("map_from", "cache_dir", "on_device"):
        del config["data"]["init_args"][name]
    assert address_of(config, {}) == address(*HARDWARE, *WORDS)


def test_data_counts_by_content_and_not_by_place(tmp_path: Path) -> None:
    for name, content in (("a", "x"), ("b", "x"), ("c", "y")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.csv").write_text(content)
    configs = [{"data": {"init_args": {"data_dir": str(tmp_path / name)}}} for name in "abc"]
    a, b, c = (address_of(config, data_checksums(config)) for config in configs)
    assert a == b != c
    assert data_checksums(configs[0]) == {str(tmp_path / "a"): checksum(str(tmp_path / "a"))}
    (tmp_path / "b" / "train.csv").rename(tmp_path / "b" / "test.csv")
    checksum.cache_clear()
    assert checksum(str(tmp_path / "a")) != checksum(str(tmp_path / "b"))


def test_the_folder_of_the_cache_is_no_data(tmp_path: Path) -> None:
    config = {"data": {"init_args": {"data_dir": None, "cache_dir": str(tmp_path)}}}
    assert data_checksums(config) == {}


def test_words_that_are_no_command_line_are_refused() -> None:
    with pytest.raises(ValueError, match="lossy"):
        resolve([*WORDS, "--model.lossy=1"])
