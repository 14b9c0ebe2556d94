"""Numbers of a description, compared with pandas, scikit-learn and plain loops."""

from __future__ import annotations

import json
import random
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import confusion_matrix
from torch import Tensor

from mlemo.callbacks.label_figures import MOST_LABELS
from mlemo.data import Corpus, EmotionDataModule, Split
from mlemo.labels import LabelSpace
from mlemo.reporting.description import describe as describing
from mlemo.reporting.description.describe import describe
from mlemo.reporting.description.figures import label_figure, size_figure, together
from mlemo.reporting.description.numbers import split_numbers, token_lengths
from mlemo.reporting.description.page import MOST_ROWS, description_page, write_description
from mlemo.reporting.description.repeats import MOST_SHOWN, repeats
from mlemo.reporting.document import Bullets, Picture, Table

NAMES = ("joy", "anger", "fear?", "none of these")
WORDS = ["so", "happy", "我", "كنت", "day", "😀", "never", "again"]


def invented(rows: int, seed: int, labels: int = len(NAMES)) -> Corpus:
    """Texts of few words, so that some are equal; the last label never occurs, some entries are not annotated."""
    draw = random.Random(seed)
    texts = [" ".join(draw.choices(WORDS, k=draw.randrange(4))) for _ in range(rows)]
    hot = torch.rand(rows, labels, generator=torch.Generator().manual_seed(seed)) < torch.linspace(0.6, 0.0, labels)
    mask = torch.rand(rows, labels, generator=torch.Generator().manual_seed(seed + 1)) < 0.8
    names = NAMES if labels == len(NAMES) else tuple(f"label {number}" for number in range(labels))
    return Corpus(LabelSpace(names), (hot & mask).float(), [f"{seed}-{row}" for row in range(rows)], texts, mask=mask)


class Invented(EmotionDataModule):
    """Three invented splits."""

    parts: dict[str, Corpus]

    @property
    def label_space(self) -> LabelSpace:
        return self.parts["train"].label_space

    def read(self, split: Split) -> Corpus:
        return self.parts[split]


def data(**parts: Corpus) -> Invented:
    result = Invented()
    result.parts = parts
    return result


@pytest.fixture
def splits() -> dict[str, Corpus]:
    return {"train": invented(120, 0), "val": invented(30, 10), "test": invented(40, 20)}


def frame(corpus: Corpus) -> pd.DataFrame:
    """The labels as pandas has them, missing where not annotated."""
    return pd.DataFrame(corpus.labels.numpy(), columns=list(corpus.label_space.names)).where(corpus.mask.numpy())


def test_frequencies_and_sizes_are_those_of_pandas(splits: dict[str, Corpus]) -> None:
    corpus, found = splits["train"], split_numbers(splits["train"])
    table = frame(corpus)
    for label in found.labels:
        assert label.positives == table[label.name].sum()
        assert label.annotated == table[label.name].count()
        assert label.share == pytest.approx(table[label.name].mean())
    ratios = table.sum().max() / table.sum()
    occurring = ratios[np.isfinite(ratios)]
    assert [label.irlbl for label in found.labels] == [*map(pytest.approx, occurring), None]
    assert found.mean_ir == pytest.approx(occurring.mean())
    assert found.cardinality == pytest.approx(table.sum(axis=1).mean())
    assert found.density == pytest.approx(table.sum(axis=1).mean() / 4)
    assert dict(enumerate(found.sizes)) == table.sum(axis=1).astype(int).value_counts().sort_index().to_dict()
    assert found.not_annotated == table.isna().sum().sum() > 0
    assert found.label_sets == len(table.fillna(0).drop_duplicates())
    assert found.rows == 120


def test_lengths_are_counted_in_characters_and_words(splits: dict[str, Corpus]) -> None:
    found = split_numbers(splits["train"])
    texts = pd.Series(list(splits["train"].texts or []))
    assert found.empty_texts == (texts.str.strip() == "").sum() > 0
    for unit, counts in (("characters", texts.str.len()), ("words", texts.str.split().str.len())):
        own, ordered = found.lengths[unit], sorted(counts)
        assert own.mean == pytest.approx(counts.mean())
        # the smallest length that at least p % of the texts do not exceed
        for p in range(1, 101):
            assert own.percentiles[p] == next(n for n in ordered if (counts <= n).mean() >= p / 100 - 1e-12)
        assert own.percentiles[0] == ordered[0]


def test_a_split_without_any_positive_has_no_imbalance() -> None:
    corpus = Corpus(LabelSpace(("a",)), torch.zeros(3, 1), list("123"), list("xyz"), mask=torch.zeros(3, 1).bool())
    found = split_numbers(corpus)
    assert (found.mean_ir, found.labels[0].irlbl, found.labels[0].share) == (None, None, None)
    assert found.sizes == (3,)


@pytest.mark.parametrize("labels", [1, 8, 9, 300])
def test_different_label_sets_are_counted_for_any_number_of_labels(labels: int) -> None:
    values = (torch.rand(50, labels, generator=torch.Generator().manual_seed(3)) < 2 / labels).float()
    for layout in (values, values.T.contiguous().T):
        corpus = Corpus(LabelSpace(tuple(map(str, range(labels)))), layout, list(map(str, range(50))), [""] * 50)
        assert split_numbers(corpus).label_sets == len({tuple(row) for row in values.tolist()})


def test_tokens_are_those_that_the_encoder_reads(tokenizer: Any) -> None:
    texts = ["", "happy", "we had such a good day and I was so happy " * 40]
    expected = [len(tokenizer(text)["input_ids"]) for text in texts]
    assert token_lengths(texts, tokenizer).tolist() == expected


def test_labels_that_go_together_are_counted_where_both_are_annotated(splits: dict[str, Corpus]) -> None:
    corpus = splits["train"]
    found, table = together(corpus.labels, corpus.mask), frame(corpus)
    for first, second in combinations(range(4), 2):
        for row, column in ((first, second), (second, first)):
            both = table.iloc[:, [row, column]].dropna()
            counts = confusion_matrix(both.iloc[:, 0], both.iloc[:, 1], labels=[0, 1])
            expected = counts[1, 1] / counts[1].sum() if counts[1].sum() else np.nan
            assert found[row, column].item() == pytest.approx(expected, nan_ok=True)


def test_repeated_texts_and_conflicts_are_those_of_plain_loops(splits: dict[str, Corpus]) -> None:
    found = repeats(splits, None, examples=1000)
    texts = {split: list(corpus.texts or []) for split, corpus in splits.items()}
    assert found.within == {split: len(own) - len(set(own)) for split, own in texts.items()}
    pairs = {f"{a}, {b}": sum(text in set(texts[a]) for text in texts[b]) for a, b in combinations(texts, 2)}
    assert found.across == pairs
    assert found.near is None
    values: dict[str, dict[str, set[float]]] = {}
    for corpus in splits.values():
        for text, labels, known in zip(corpus.texts or [], corpus.labels.tolist(), corpus.mask.tolist()):
            for name, value, on in zip(NAMES, labels, known):
                values.setdefault(text, {}).setdefault(name, set()).update([value] if on else [])
    disputed = {text: [name for name in NAMES if len(own[name]) == 2] for text, own in values.items()}
    disputed = {text: names for text, names in disputed.items() if names}
    assert found.conflicting_texts == len(disputed) > 5
    assert found.conflicting_labels == Counter(name for names in disputed.values() for name in names)
    assert {conflict.text: list(conflict.labels) for conflict in found.examples} == disputed
    for conflict in found.examples:
        assert conflict.occurrences == sum(own.count(conflict.text) for own in texts.values())
        assert len(conflict.rows) == min(conflict.occurrences, MOST_SHOWN)
        for split, identifier, labels in conflict.rows:
            row = splits[split].ids.index(identifier)
            assert texts[split][row] == conflict.text
            cells = zip(NAMES, splits[split].labels[row].tolist(), splits[split].mask[row].tolist())
            assert list(labels) == [name if on else f"{name}?" for name, value, on in cells if value or not on]


def test_similar_texts_of_other_splits_are_counted_with_the_equal_ones() -> None:
    space = LabelSpace(("a",))

    def part(*texts: str) -> Corpus:
        return Corpus(space, torch.zeros(len(texts), 1), list(map(str, range(len(texts)))), list(texts))

    train = part("the parcel never came to my house", "thank you so much for this")
    test = part("The parcel never came to my house!!", "thank you so much for this", "what a lovely day it is")
    found = repeats({"train": train, "test": test}, 0.8, 5)
    assert found.across == {"train, test": 1}
    assert found.near == {"train, test": 2}
    assert (found.conflicting_texts, found.examples) == (0, ())


# the page -------------------------------------------------------------------------------------------------------


def test_the_page_has_the_numbers(splits: dict[str, Corpus]) -> None:
    found = describe(data(**splits), {"seed": 1}, similarity=None)
    blocks = description_page(found, splits["train"]).blocks
    shown = {block.caption: block for block in blocks if isinstance(block, Table)}
    (train, *_) = shown["Splits"].rows
    table = frame(splits["train"])
    assert train[:3] == ("train", "120", f"{table.sum(axis=1).mean():.4f}")
    assert train[4] == f"{100 * (table.sum(axis=1) == 0).mean():.2f} %"
    assert train[6] == f"{100 * table.isna().mean().mean():.2f} %"
    labels = shown["Rows with each label, and their percentage of the annotated rows"]
    assert labels.head == ("label", "IRLbl in train", "train", "train, %", "val", "val, %", "test", "test, %")
    assert labels.rows[0][2:4] == (f"{table['joy'].sum():.0f}", f"{100 * table['joy'].mean():.2f}")
    assert labels.rows[3][1:4] == ("–", "0", "0.00")
    (repeated,) = [row for row in shown["Repeated texts"].rows if row[0] == "rows of test whose text is in train"]
    assert found.repeats is not None
    assert repeated[1:] == (str(found.repeats.across["train, test"]), "–")
    bullets = [item for block in blocks if isinstance(block, Bullets) for item in block.items]
    assert f"train: {split_numbers(splits['train']).empty_texts} empty texts" in bullets
    assert "train: 1 of 4 labels have no positive: none of these" in bullets


def test_pictures_have_their_numbers_in_words(splits: dict[str, Corpus]) -> None:
    numbers = {split: split_numbers(corpus) for split, corpus in splits.items()}
    words = label_figure(numbers).alternative
    for split, corpus in splits.items():
        assert f"{split}: joy {100 * frame(corpus)['joy'].mean():.1f} %" in words
    many = {
        "train": split_numbers(Corpus(LabelSpace(tuple(map(str, range(20)))), torch.ones(3, 20), list("abc"), [""] * 3))
    }
    assert size_figure(many).alternative.endswith("11 labels 0.0 %, 12 or more labels 100.0 %.")


def test_many_labels_are_capped_and_the_page_says_so() -> None:
    parts = {split: invented(30, seed, labels=3000) for split, seed in (("train", 1), ("val", 2), ("test", 3))}
    found = describe(data(**parts), {})
    page = description_page(found, parts["train"])
    pictures = {block.name: block for block in page.blocks if isinstance(block, Picture)}
    which = f"{MOST_LABELS} of 3,000 labels, those with the most gold positives"
    assert which in pictures["labels"].caption
    assert which in pictures["together"].caption
    (labels,) = [block for block in page.blocks if isinstance(block, Table) and block.caption.startswith("Rows with")]
    assert len(labels.rows) == MOST_ROWS
    assert labels.remarks == (
        f"{MOST_ROWS} of 3,000 labels, those with the most gold positives in train; description.json has all.",
    )
    assert len(found.splits["train"].labels) == 3000


def test_similar_texts_are_not_looked_for_among_too_many(
    splits: dict[str, Corpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(describing, "MOST_COMPARED", 189)
    found = describe(data(**splits), {})
    assert found.notes == ("Similar texts are not looked for among more than 189 texts, found 190.",)
    assert found.similarity is None
    assert found.repeats is not None
    assert found.repeats.near is None


def test_tables_of_numbers_have_no_texts(tmp_path: Path) -> None:
    def part(rows: int) -> Corpus:
        values: Tensor = torch.eye(rows, 2)
        return Corpus(LabelSpace(("a", "b")), values, list(map(str, range(rows))), features=torch.rand(rows, 7))

    source = data(train=part(6), val=part(3), test=part(3))
    found = describe(source, {})
    assert found.repeats is None
    assert found.splits["train"].inputs == 7
    page = write_description(found, source, tmp_path).read_text(encoding="utf-8")
    assert "12 rows of 7 inputs with 2 labels" in page
    assert "lengths and repeated texts are not described" in page
    assert json.loads((tmp_path / "description.json").read_text())["repeats"] is None
    with pytest.raises(ValueError, match="--encoder x counts tokens, and Invented has no texts"):
        describe(source, {}, encoder="x")
