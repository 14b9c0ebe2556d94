from __future__ import annotations

import pytest

from mlemo.data import NLPCC2018, ExaAEC, GoEmotions, RenCECps, SemEval2018, SemEval2025
from mlemo.data.label_words import label_words

SCRIPTS = {"arabic": ("\u0600", "\u06ff"), "chinese": ("\u4e00", "\u9fff")}


@pytest.mark.parametrize(
    ("data", "language"),
    [
        (SemEval2018("arabic"), "arabic"),
        (SemEval2018("spanish"), "spanish"),
        (ExaAEC(), "arabic"),
        (NLPCC2018(), "chinese"),
        (RenCECps(), "chinese"),
        (SemEval2025("arq"), "arabic"),
        (SemEval2025(["arq", "ary"]), "arabic"),
        (SemEval2025("chn"), "chinese"),
        (SemEval2025("esp"), "spanish"),
    ],
)
def test_corpora_in_three_languages_have_a_word_per_label(data: object, language: str) -> None:
    space = data.label_space
    assert space.words == label_words(language, space.names)
    assert len(set(space.words)) == len(space)
    low, high = SCRIPTS.get(language, ("a", "ú"))
    assert all(low <= character <= high for word in space.words for character in word)


@pytest.mark.parametrize(
    "data", [SemEval2018("english"), GoEmotions(), SemEval2025("eng"), SemEval2025(["arq", "eng"])]
)
def test_english_corpora_and_those_of_several_languages_have_names_alone(data: object) -> None:
    assert data.label_space.words is None


def test_a_label_without_a_word_leaves_the_names() -> None:
    assert label_words("arabic", ["joy", "schadenfreude"]) is None
    assert label_words("klingon", ["joy"]) is None
