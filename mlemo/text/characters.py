"""Language-independent cleaning of characters: Unicode forms, accents, case, repeats, symbols, whitespace."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Literal

import regex

from mlemo.text.emoji import EMOJI

__all__ = [
    "SENTENCE_MARKS",
    "UnicodeForm",
    "lower_case",
    "normalize_unicode",
    "remove_accents",
    "remove_special_characters",
    "shorten_repeats",
    "squeeze_whitespace",
]

UnicodeForm = Literal["NFC", "NFKC"]

SENTENCE_MARKS = ".,!?'،؛؟"

# Fillers, the empty braille cell and the zero-width space are used as spaces; Unicode's other ignorable characters
# (byte-order mark, marks of writing direction, soft hyphen) have no meaning. Joiners, variation selectors and tags are
# part of the spelling of Persian and Indic words and emoji.
_SPACES = regex.compile(r"[\u115F\u1160\u200B\u2800\u3164\uFFA0]")
_INVISIBLE = regex.compile(
    r"(?V1)[[\p{Default_Ignorable_Code_Point}\p{Cc}\p{Cs}]--[\s\u200C\u200D\uFE0E\uFE0F\U000E0020-\U000E007F]]"
)
_STRAY = regex.compile(
    r"(?<![\p{L}\p{N}\p{S}\p{P}\p{M}\u200C\u200D])[\p{M}\u200C\u200D]+"  # marks without a base character
    r"|(?<![\u200C\u200D])[\u200C\u200D]++(?![\p{L}\p{S}])"  # joiners without neighbors
    r"|(?<!\p{Extended_Pictographic})[\uFE0E\uFE0F](?!\u20E3)"  # variation selectors without a pictograph
)
_QUOTES = str.maketrans({"‘": "'", "’": "'", "‛": "'", "ʼ": "'", "“": '"', "”": '"', "„": '"'})
_ACCENTS = regex.compile(r"(?<=\p{Latin}\p{Mn}*)\p{Mn}")
_ACCENTS_BUT_N_TILDE = regex.compile(r"(?<=\p{Latin}\p{Mn}*)\p{Mn}(?<![nN]\u0303)")


def normalize_unicode(text: str, form: UnicodeForm = "NFKC") -> str:
    """Remove invisible characters and apply a Unicode normal form, so that equal-looking texts are equal.

    NFC composes letters and their marks. NFKC also replaces full-width, mathematical, enclosed and ligature forms
    (including the Arabic presentation forms) by ordinary letters, and here typographic quotes by ASCII ones.

    Args:
        text: Any text.
        form: ``"NFC"`` or ``"NFKC"``.

    Example:
        >>> normalize_unicode("\u202b\ufefbe\u0301\u202c \uff4f\uff4b 𝓱𝓲")
        'لاé ok hi'
        >>> normalize_unicode("don’t"), normalize_unicode("don’t", "NFC")
        ("don't", 'don’t')
    """
    if text.isascii() and text.isprintable():
        return text
    text = _INVISIBLE.sub("", _SPACES.sub(" ", text))
    if form == "NFKC":  # NFKC makes a space and a mark of an acute accent used as an apostrophe
        text = unicodedata.normalize("NFKC", text.replace("´", "'")).translate(_QUOTES)
    else:
        text = unicodedata.normalize(form, text)
    return _STRAY.sub("", text)


def remove_accents(text: str, keep_n_tilde: bool = False) -> str:
    """Remove accents and other marks from Latin letters; in other scripts, marks form different letters and are kept.

    Letters that do not decompose into a letter and a mark (ø, ł, ß) are kept. Hurtado et al. (2020) also remove the
    tilde of ñ.

    Example:
        >>> remove_accents("¡Qué vergüenza, mañana!"), remove_accents("años más", keep_n_tilde=True)
        ('¡Que verguenza, manana!', 'años mas')
    """
    if text.isascii():
        return text
    accents = _ACCENTS_BUT_N_TILDE if keep_n_tilde else _ACCENTS
    return unicodedata.normalize("NFC", accents.sub("", unicodedata.normalize("NFD", text)))


def lower_case(text: str) -> str:
    """Convert to lower case and NFC: some pairs of letter and mark have a composed form in lower case only.

    Example:
        >>> lower_case("¡QUÉ RISA!"), len(lower_case("J\u030c"))
        ('¡qué risa!', 1)
    """
    return unicodedata.normalize("NFC", text.lower())


@cache
def _repeats(at_most: int) -> regex.Pattern[str]:
    return regex.compile(rf"(\p{{L}})\1{{{at_most},}}")


def shorten_repeats(text: str, at_most: int = 2) -> str:
    """Shorten runs of a repeated letter ("elongation") to a largest length; digits and signs are kept.

    With two, no spelling of a word is lost in Arabic, English or Spanish; with one, double letters are.

    Example:
        >>> shorten_repeats("sooooo جميييييل 1000"), shorten_repeats("cooool", at_most=1)
        ('soo جمييل 1000', 'col')
    """
    return _repeats(at_most).sub(lambda match: match[1] * at_most, text)


@cache
def _special_characters(keep: str, keep_emoji: bool) -> regex.Pattern[str]:
    special = rf"[^\p{{L}}\p{{M}}\p{{N}}\s\u200C\u200D{regex.escape(keep, special_only=False)}]"
    # an emoji to keep is matched by group 1 before its characters
    return regex.compile(f"({EMOJI})|{special}" if keep_emoji else f"(){special}+")


def remove_special_characters(text: str, keep: str = SENTENCE_MARKS, keep_emoji: bool = False) -> str:
    """Replace every character by a space, except letters, marks, digits, whitespace and the characters to keep.

    Args:
        text: Any text.
        keep: Signs to keep; by default punctuation of sentences, of which ``!`` and ``?`` express emotion.
        keep_emoji: Keep emoji.

    Example:
        >>> remove_special_characters("[well] it's 5% ~ ok!"), remove_special_characters("ok! 😂", "", keep_emoji=True)
        (" well  it's 5    ok!", 'ok  😂')
    """
    return _special_characters(keep, keep_emoji).sub(lambda match: match[1] or " ", text)


def squeeze_whitespace(text: str) -> str:
    r"""Reduce whitespace to single spaces between words; remove marks and joiners without a letter.

    Example:
        >>> squeeze_whitespace("  so\u00a0 \n good ")
        'so good'
    """
    text = " ".join(text.split())
    if text.isascii():
        return text
    return " ".join(_STRAY.sub("", text).split())
