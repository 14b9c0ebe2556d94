"""Pictures of words: fonts for any script, and lines that run in the text's direction."""

import io
import warnings

import matplotlib.font_manager
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from mlemo.reporting.drawing import BOX, drawable, fonts_for, png
from mlemo.reporting.explanations.word_pictures import word_picture
from mlemo.reporting.explanations.words import Word, WordWeights


@pytest.fixture
def only_dejavu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system with the fonts that come with matplotlib and no other."""
    manager = matplotlib.font_manager.fontManager
    monkeypatch.setattr(manager, "ttflist", [font for font in manager.ttflist if font.name == "DejaVu Sans"])


def test_characters_that_no_font_has_are_boxes(only_dejavu: None) -> None:
    assert fonts_for("سعيد day") == (["DejaVu Sans"], set())
    assert fonts_for("海 day") == (["DejaVu Sans"], {"海"})
    with drawable(["海 day", "a\ufe0f", "يوم"]) as (texts, missing):
        assert texts[0] == f"{BOX} day"
        assert texts[2] == "يوم"
        assert "海" in missing


def test_no_picture_warns_of_missing_glyphs(only_dejavu: None) -> None:
    table = WordWeights("t", [Word("海"), Word("\U0001fae8")], ["恐"], torch.ones(2, 1), [0], "ltr")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, missing = word_picture([table])
    assert missing == {"海", "恐", "\U0001fae8"}


def drawn(words: list[str], direction: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float, float]]:
    """Words, x and y in the picture, in the order of drawing."""
    placed = []
    text = Axes.text

    def record(self: Axes, x: float, y: float, content: str, **settings: object) -> object:
        placed.append((content, x, y))
        return text(self, x, y, content, **settings)

    monkeypatch.setattr(Axes, "text", record)
    weights = torch.full((len(words), 1), 0.25)
    word_picture([WordWeights("t", [Word(word) for word in words], ["joy"], weights, [0], direction)])  # type: ignore[arg-type]
    return [place for place in placed if place[0] in words]


def test_arabic_lines_run_from_right_to_left(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["قال", "لي", "good", "day", "سعيد"]
    places = {word: x for word, x, _ in drawn(words, "rtl", monkeypatch)}
    assert sorted(places, key=places.__getitem__) == ["سعيد", "good", "day", "لي", "قال"]
    assert 1000 < places["قال"] < 1170  # lines begin at the right margin
    many = drawn([f"كلمة{number}" for number in range(40)], "rtl", monkeypatch)
    lines = sorted({y for _, _, y in many})
    assert len(lines) > 2
    first = [word for word, _, y in many if y == lines[0]]
    assert set(first) == {f"كلمة{number}" for number in range(len(first))}  # lines are filled in the order of reading


def test_arabic_letters_are_joined() -> None:
    """A word is narrower than its letters one by one, and read from the right: its last letter stands at the left."""

    def columns(text: str) -> np.ndarray:
        figure = Figure(figsize=(4, 1))
        figure.text(0.1, 0.3, text, size=30, parse_math=False)
        ink = np.asarray(Image.open(io.BytesIO(png(figure))).convert("L")) < 128
        return ink.any(0)

    joined, apart = columns("بيت"), columns("ب ي ت".replace(" ", "\u200c"))
    assert joined.sum() < 0.8 * apart.sum()
    gaps = np.diff(np.flatnonzero(joined))
    assert gaps.max() == 1  # one stroke from the first letter to the last


def test_a_picture_has_the_colours_of_its_weights() -> None:
    weights = torch.tensor([[0.5], [-0.5], [torch.nan]])
    words = [Word("one"), Word("two"), Word("three")]
    content, missing = word_picture([WordWeights("t", words, ["joy"], weights, [0], "ltr")])
    assert missing == set()
    picture = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).reshape(-1, 3)
    assert picture.shape[0] > 1200 * 50
    found = {tuple(colour) for colour in np.unique(picture, axis=0).tolist()}
    for colour in ((0, 114, 178), (213, 94, 0)):
        exact = [255 + 0.6 * (part - 255) for part in colour]
        assert any(np.abs(np.array(exact) - np.array(one)).max() <= 1 for one in found)


def test_a_text_without_words_has_a_picture() -> None:
    content, _ = word_picture([WordWeights("t", [], ["joy"], torch.zeros(0, 1), [0], "ltr")])
    assert content.startswith(b"\x89PNG")
