"""Texts cut into words, and the order in which words stand on a line."""

import pytest
import torch

from mlemo.reporting.explanations.word_pictures import visual_order
from mlemo.reporting.explanations.words import Word, WordWeights, cut, direction, word_spans


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("so happy!", ["so", "happy!"]),
        ("  يوم سعيد، جدا ", ["يوم", "سعيد،", "جدا"]),
        ("我很 happy了", ["我", "很", "happy", "了"]),
        ("", []),
        (" \n", []),
    ],
)
def test_words_stand_between_blanks_and_chinese_characters_alone(text: str, words: list[str]) -> None:
    spans = word_spans(text)
    assert [text[start:end] for start, end in spans] == words
    assert "".join(word.gap + word.text for word in cut(text, spans)) == text.rstrip()


@pytest.mark.parametrize(
    ("text", "found"), [("سعيد day", "rtl"), ("day سعيد", "ltr"), ("12 ... שלום", "rtl"), ("😀 12", None), ("", None)]
)
def test_the_first_letter_gives_the_direction(text: str, found: str | None) -> None:
    assert direction(text) == found


@pytest.mark.parametrize(
    ("line", "base", "left_to_right"),
    [
        ("a b c", "ltr", "a b c"),
        ("ا ب ت", "rtl", "ت ب ا"),
        ("ا good day ب", "rtl", "ب good day ا"),
        ("a ا ب b", "ltr", "a ب ا b"),
        ("ا good 7 day ب", "rtl", "ب good 7 day ا"),  # a number among words of one direction goes with them
        ("ا 7 ب", "rtl", "ب 7 ا"),
        ("ا good 7", "rtl", "7 good ا"),  # at the edge it goes with the text
    ],
)
def test_words_of_the_other_direction_keep_their_order(line: str, base: str, left_to_right: str) -> None:
    words = line.split()
    assert [words[place] for place in visual_order(words, base)] == left_to_right.split()  # type: ignore[arg-type]


def test_the_scale_is_the_largest_weight_that_is_shown() -> None:
    weights = torch.tensor([[0.1, -0.5, 9.0], [torch.nan, 0.2, 9.0]])
    table = WordWeights("title", [Word("a"), Word("b")], ["x", "y", "z"], weights, [0, 1], "ltr")
    assert table.scale == 0.5
    assert WordWeights("title", [], ["x"], torch.zeros(0, 1), [0], "ltr").scale == 0
