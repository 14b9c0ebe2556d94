"""Texts without labels join the training split as rows that are not annotated."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mlemo.data import SyntheticEmotions
from mlemo.data.unlabeled import unlabeled_texts


def test_lines_become_rows_without_annotated_labels(tmp_path: Path) -> None:
    path = tmp_path / "more.txt"
    path.write_bytes("\ufeffone day\r\n\n  \nzwei Tage, drei Nächte\n".encode())
    module = SyntheticEmotions(size=20, val_size=5, test_size=5)
    corpus = unlabeled_texts(path, module.label_space)
    assert list(corpus.texts or ()) == ["one day", "zwei Tage, drei Nächte"]
    assert not corpus.mask.any()
    assert corpus.dropped == {"empty lines of more.txt": 2}

    joined = SyntheticEmotions(size=20, val_size=5, test_size=5, train_rows=12, unlabeled=path)
    train = joined.corpus("train")
    assert len(train) == 14
    assert list(train.texts or ())[12:] == list(corpus.texts or ())
    assert train.mask.any(1).tolist() == [True] * 12 + [False] * 2
    assert torch.equal(train.labels[12:], torch.zeros(2, len(module.label_space)))
    assert len(joined.corpus("val")) == len(joined.corpus("test")) == 5


def test_files_that_have_no_text_are_refused(tmp_path: Path) -> None:
    space = SyntheticEmotions().label_space
    with pytest.raises(FileNotFoundError):
        unlabeled_texts(tmp_path / "none.txt", space)
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(ValueError, match=r"empty\.txt: the file is empty"):
        unlabeled_texts(tmp_path / "empty.txt", space)
    (tmp_path / "latin.txt").write_bytes("Grüße".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin\.txt:1: byte 0xfc is not UTF-8"):
        unlabeled_texts(tmp_path / "latin.txt", space)
