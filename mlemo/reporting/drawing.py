"""Fonts for pictures with words of any script."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.font_manager import FontEntry, FontPath, fontManager, get_font

from mlemo.utils.messages import visible

__all__ = ["drawable", "fonts_for", "png"]

OWN = "DejaVu Sans"  # comes with matplotlib; Latin, Greek, Cyrillic, Arabic, Hebrew
BOX = "□"
WIDTHLESS = ("Mn", "Me", "Cf", "Cc")  # Unicode categories of marks and signs without a width


def fonts_for(text: str) -> tuple[list[str], set[str]]:
    """Find fonts of this system that together cover a text, and the characters that no font has.

    Example:
        >>> fonts_for("يوم سعيد")
        (['DejaVu Sans'], set())
    """
    entries = sorted(fontManager.ttflist, key=lambda entry: (entry.name != OWN, entry.style != "normal", entry.fname))
    families: list[str] = []
    missing = {character for character in text if not character.isspace()}
    for entry in entries:
        if families and not missing:
            break
        covered = missing & _characters(entry.fname, entry.index) if _usable(entry) else set()
        if covered or entry.name == OWN:
            families.append(entry.name)
            missing -= covered
    return list(dict.fromkeys(families)), missing


@contextmanager
def drawable(texts: Sequence[str]) -> Iterator[tuple[list[str], set[str]]]:
    """Provide fonts for texts, which are returned with a box for each character that no font has.

    The missing characters are returned as well. Marks without a width, such as variation selectors of emoji, are
    removed if no font has them.
    """
    texts = [visible(text) for text in texts]
    families, missing = fonts_for("".join(texts))
    boxes = {ord(character): "" if unicodedata.category(character) in WIDTHLESS else BOX for character in missing}
    with rc_context({"font.family": families}):
        yield (
            [text.translate(boxes) for text in texts],
            {character for character in missing if boxes[ord(character)]},
        )


def png(figure: Figure) -> bytes:
    """Render a picture as PNG; to be called within ``drawable``, which provides its fonts."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})  # equal pictures are equal files
    return stream.getvalue()


def _usable(entry: FontEntry) -> bool:
    # pictures need outlines, which color bitmap fonts lack; a last-resort font has a box for every character
    return entry.size == "scalable" and "Color" not in entry.name and not entry.name.startswith("Last Resort")


@cache
def _characters(file: str, index: int) -> frozenset[str]:
    try:
        return frozenset(map(chr, get_font(FontPath(file, index)).get_charmap()))
    except (OSError, RuntimeError):  # a damaged or missing font of the system
        return frozenset()
