"""Characters: Unicode forms, accents, case, repeats, special characters, blanks."""

import sys
import unicodedata

import pytest

from mlemo.text.characters import (
    lower_case,
    normalize_unicode,
    remove_accents,
    remove_special_characters,
    shorten_repeats,
    squeeze_whitespace,
)

CHARACTERS = [chr(code) for code in range(sys.maxunicode + 1)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ＡＢＣ！ ½", "ABC! 1⁄2"),  # full width, compatibility
        ("𝒔𝒐 𝕔𝕠𝕠𝕝", "so cool"),
        ("ﻻ ﻣﺮﺣﺒﺎ ﷺ", "لا مرحبا صلى الله عليه وسلم"),  # Arabic presentation forms
        ("e\u0301 ا\u0654", "é أ"),  # composed
        ("\u202bنعم\u202c\u200f \u2067لا\u2069", "نعم لا"),  # marks of direction
        ("\ufeffx\u00ady\u2060z", "xyz"),
        ("x\u200by\u3164z\u2800w", "x y z w"),  # what looks like a blank is one
        ("می\u200cخواهم", "می\u200cخواهم"),  # Persian spelling
        ("क्\u200dष", "क्\u200dष"),  # Hindi spelling
        ("a\u200d b\u200c! \u200dc \u200c", "a b! c "),  # joiners that join nothing
        ("👩\u200d🚀 ❤\ufe0f\u200d🔥 1\ufe0f\u20e3", "👩\u200d🚀 ❤\ufe0f\u200d🔥 1\ufe0f\u20e3"),
        ("a\ufe0f 1\ufe0f !\ufe0f \ufe0f ❤\ufe0f\ufe0f", "a 1 !  ❤\ufe0f"),
        ("don´t ¨ no’s “ok”", "don't   no's \"ok\""),  # NFKC would leave a blank and a mark
        ("a\x00b\x1b\x85c\nd\te", "ab\x85c\nd\te"),  # control characters that are not blanks
        ("a\ud83db", "ab"),  # half of a surrogate pair
    ],
)
def test_nfkc(text, expected):
    assert normalize_unicode(text) == expected


def test_nfc_composes_and_hides_but_keeps_compatibility_forms():
    assert normalize_unicode("e\u0301 ＡＢ ﻻ ’\u200f", "NFC") == "é ＡＢ ﻻ ’"


def test_plain_text_in_any_script_is_left_alone():
    for text in (
        "¡Qué año, niño!",
        "شكراً يا صديقتي، أحبكِ",
        "สวัสดี",
        "नमस्ते दुनिया",
        "がっこう",
        "한국어",
        "Ελλάδα",
        "a b",
    ):
        assert normalize_unicode(text) == unicodedata.normalize("NFKC", text)


def test_normalizing_twice_changes_nothing_more():
    for character in (*CHARACTERS[:0x3400], *CHARACTERS[0xD000:0x12000], *CHARACTERS[0x1D000:0x1FB00]):
        once = normalize_unicode(f"{character} x{character} ن{character}\u0301")
        assert normalize_unicode(once) == once, hex(ord(character))


def without_accents(character: str) -> str:
    # reference: one character at a time, by its name
    decomposed = unicodedata.normalize("NFD", character)
    if not unicodedata.name(decomposed[0], "").startswith(("LATIN", "FEMININE", "MASCULINE", "KELVIN", "ANGSTROM")):
        return unicodedata.normalize("NFC", decomposed)
    return unicodedata.normalize("NFC", "".join(c for c in decomposed if unicodedata.category(c) != "Mn"))


def test_accents_go_from_latin_letters_only():
    letters = [c for c in CHARACTERS if unicodedata.category(c)[0] == "L" and not 0x1D400 <= ord(c) < 0x1D800]
    assert [c for c in letters if remove_accents(c) != without_accents(c)] == []
    assert remove_accents("Ação, über, Škoda, tiếng Việt") == "Acao, uber, Skoda, tieng Viet"
    assert remove_accents("أَهلاً がぎ한й ά नी øłß") == "أَهلاً がぎ한й ά नी øłß"
    assert remove_accents("n\u0303o\u0301") == "no"


def test_the_tilde_of_n_can_stay():
    assert remove_accents("Ñandú, año, ção", keep_n_tilde=True) == "Ñandu, año, cao"
    assert remove_accents("n\u0303 ń", keep_n_tilde=True) == "ñ n"


def test_lower_case():
    assert lower_case("HOLA Ñ Ü ΟΔΟΣ مرحبا") == "hola ñ ü οδος مرحبا"
    assert lower_case("J\u030c") == "\u01f0"  # composed in lower case only


def test_repeats():
    assert shorten_repeats("goooool ههههههه noo !!! 1000000 ___ 😂😂😂") == "gool هه noo !!! 1000000 ___ 😂😂😂"
    assert shorten_repeats("aaabbbb ab", at_most=1) == "ab ab"
    assert shorten_repeats("aaaa aaa", at_most=3) == "aaa aaa"
    assert shorten_repeats("الله ممتاز bookkeeper") == "الله ممتاز bookkeeper"


def ordinary(character: str, keep: str) -> bool:
    return (
        unicodedata.category(character)[0] in "LMN"
        or character.isspace()
        or character in keep
        or character in "\u200c\u200d"
    )


@pytest.mark.parametrize("keep", ["", ".,!?", "^-]\\[", "؟،"])
def test_special_characters_by_category(keep):
    text = [c for c in CHARACTERS if unicodedata.category(c) != "Cn" and c not in "\x1c\x1d\x1e\x1f"]
    newer = 40  # the two libraries may know different versions of Unicode
    wrong = [c for c in text if remove_special_characters(c, keep) != (c if ordinary(c, keep) else " ")]
    assert len(wrong) <= newer, wrong
    ascii_and_arabic = [c for c in text if ord(c) < 0x700]
    assert [c for c in wrong if c in ascii_and_arabic] == []


def test_special_characters():
    assert remove_special_characters("so~~~good <3 & [x]") == "so good  3    x "
    assert remove_special_characters("ok 😂👍🏽 * #️⃣ ★", keep_emoji=True) == "ok 😂👍🏽   #️⃣  "
    assert remove_special_characters("ok 😂!", keep_emoji=False) == "ok  !"


def test_whitespace():
    assert squeeze_whitespace("\n a\t\u00a0b \u3000 c\u2028") == "a b c"
    assert squeeze_whitespace(" \u0301 x \u200d") == "x"
    assert squeeze_whitespace("") == squeeze_whitespace("  ") == ""
