import random
from itertools import combinations

import pytest
import torch

from mlemo.data.duplicates import (
    conflicting,
    equal_groups,
    near_groups,
    normalized,
    normalized_groups,
    repeated_rows,
)

WORDS = [
    "parcel",
    "never",
    "came",
    "broken",
    "screen",
    "refund",
    "thanks",
    "helpful",
    "slow",
    "agent",
    "call",
    "again",
    "month",
    "waiting",
    "order",
    "late",
]


def test_each_rule_is_wider_than_the_one_before():
    texts = [
        "My order is late again.",
        "my ORDER,  is late again",
        "My order is late again.",
        "My order is late again, Ana.",
        "Thanks",
        "...",
        "!!!",
    ]
    assert equal_groups(texts).tolist() == [0, 1, 0, 2, 3, 4, 5]
    assert normalized_groups(texts).tolist() == [0, 0, 0, 1, 2, 3, 4]
    assert near_groups(texts, 0.7).tolist() == [0, 0, 0, 0, 1, 2, 3]
    assert [repeated_rows(rule(texts)) for rule in (equal_groups, normalized_groups)] == [1, 2]


def test_emoji_and_letters_of_all_scripts_count_and_marks_do_not():
    assert normalized("Ich bin FROH — wirklich!") == "ich bin froh wirklich"
    assert normalized("أنا سعيد!") == "أنا سعيد"
    assert normalized("good 😀") != normalized("good 😡")


def near_pairs(texts: list[str], similarity: float) -> set[frozenset[int]]:
    """The pairs by comparing each with each."""
    grams = []
    for text in map(normalized, texts):
        padded = text.ljust(5)
        grams.append({padded[place : place + 5] for place in range(len(padded) - 4)})
    return {
        frozenset(pair)
        for pair in combinations(range(len(texts)), 2)
        if len(grams[pair[0]] & grams[pair[1]]) / len(grams[pair[0]] | grams[pair[1]]) >= similarity
    }


def test_near_groups_are_those_of_comparing_each_with_each():
    draw = random.Random(0)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(1, 14))) for _ in range(120)]
    texts += [text + draw.choice(["!", " ok", "s"]) for text in draw.sample(texts, 60)]
    draw.shuffle(texts)
    groups = near_groups(texts).tolist()
    pairs = near_pairs(texts, 0.8)
    assert len(pairs) > 30
    expected = list(range(len(texts)))  # the least row that a row is connected to
    for _ in texts:
        for one, other in map(sorted, pairs):
            expected[one] = expected[other] = min(expected[one], expected[other])
    assert groups == equal_groups(list(map(str, expected))).tolist()


def test_texts_across_the_parts_of_a_corpus_are_compared(monkeypatch):
    monkeypatch.setattr("mlemo.data.duplicates.PART", 2)
    texts = ["a long message about a parcel", "thank you", "ok", "", "a long message about a parcel.", "ok"]
    assert near_groups(texts).tolist() == [0, 1, 2, 3, 0, 2]


def test_the_empty_corpus():
    assert near_groups([]).tolist() == equal_groups([]).tolist() == []
    assert conflicting(near_groups([]), torch.zeros(0, 2)).shape == (0, 2)


@pytest.mark.parametrize("known", [True, False])
def test_conflicts_are_between_annotated_cells_of_one_group(known):
    groups = torch.tensor([0, 1, 0, 1])
    labels = torch.tensor([[1.0, 0, 1], [0, 0, 1], [0, 0, 1], [1, 0, 1]])
    mask = torch.ones(4, 3, dtype=torch.bool)
    mask[3, 0] = known
    assert conflicting(groups, labels, mask).tolist() == [[True, False, False], [known, False, False]]
    assert conflicting(groups, labels)[1, 0]
