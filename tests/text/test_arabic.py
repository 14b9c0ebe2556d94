"""Arabic letters and marks, and the cleaning of Arabic tweets; the sentences are invented."""

import unicodedata

import pytest

from mlemo.text import ArabicTweets
from mlemo.text.arabic import (
    normalize_alef,
    normalize_alef_maqsura,
    normalize_digits,
    normalize_hamza,
    normalize_keyboard_letters,
    normalize_teh_marbuta,
    remove_diacritics,
    remove_tatweel,
)

BLOCKS = [*range(0x600, 0x700), *range(0x750, 0x780), *range(0x870, 0x900)]


def test_all_marks_of_the_arabic_blocks_go_and_all_letters_stay():
    signs = "۝۞ۥۦ۩"
    for character in map(chr, BLOCKS):
        expected = "" if unicodedata.category(character) == "Mn" or character in signs else character
        if unicodedata.category(character) != "Cn":
            assert remove_diacritics(character) == expected, hex(ord(character))
    assert remove_diacritics("é नी ܐܰ") == "é नी ܐܰ"  # marks of other scripts


def test_diacritics():
    assert remove_diacritics("اَلْحُبُّ يَجْمَعُنَا كُلَّنَا") == "الحب يجمعنا كلنا"
    assert remove_diacritics("شُكْراً") == "شكرا"
    assert remove_diacritics("آسف جدًا يا أمي، سؤال عن لؤي") == "آسف جدا يا أمي، سؤال عن لؤي"


def test_tatweel():
    assert remove_tatweel("جمـــيل جـداـ") == "جميل جدا"


def test_letters():
    assert normalize_alef("أحمد إلى آخر ٱلبيت ا\u0654") == "احمد الى اخر البيت ا"
    assert normalize_alef_maqsura("ليلى في مبنى") == "ليلي في مبني"
    assert normalize_teh_marbuta("مدرسة جميلة جدا") == "مدرسه جميله جدا"
    assert normalize_hamza("رؤية شيء دافئ") == "روية شيء دافي"
    assert normalize_keyboard_letters("ڪتاب یوم ھنا ۀ ہ ێ پچڤگڨ") == "كتاب يوم هنا ه ه ێ پچڤگڨ"


def test_each_letter_step_changes_its_letters_only():
    alphabet = "ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىي"
    changed = {
        normalize_alef: "آأإ",
        normalize_alef_maqsura: "ى",
        normalize_teh_marbuta: "ة",
        normalize_hamza: "ؤئ",
        normalize_keyboard_letters: "",
        remove_diacritics: "",
        remove_tatweel: "",
    }
    for step, letters in changed.items():
        assert "".join(c for c in alphabet if step(c) != c) == letters, step.__name__


def test_digits():
    assert normalize_digits("٠١٢٣٤٥٦٧٨٩ ۰۱۲۳۴۵۶۷۸۹") == "0123456789 0123456789"
    for code in (*range(0x660, 0x66A), *range(0x6F0, 0x6FA)):
        assert normalize_digits(chr(code)) == str(unicodedata.digit(chr(code)))


@pytest.mark.parametrize(
    ("tweet", "cleaned"),
    [
        ("صباح الخييييير يا @noor_22 😊 #يوم_سعيد https://t.co/Xy12", "صباح الخيير يا فرح يوم سعيد"),
        ("RT @ali: أَنا حزينةٌ جـــداً 😢😢", "انا حزينه جدا حزن حزن"),
        ("لماذاااا؟؟ أنا غاضب 😡!!", "لماذاا؟؟ انا غاضب غضب !!"),
        ("مبروك❤️❤️ (ألف) *مبروك* &amp; شكرا &lt;3", "مبروك حب حب الف مبروك شكرا 3"),
        ("شوفوا https://t.co/aBcمصر www.example.com", "شوفوا مصر"),
        ("\u202bﻻ أصدق ما حدث\u202c 😱 في ٢٠٢٦", "لا اصدق ما حدث خوف في 2026"),
        ("# هات _ كلمه حب 🤦 🏽 ‍ ♀ ️", "هات كلمه حب احباط رمز انثي"),
        ("واش راك خويا گاع 👨‍👩‍👧 mdrrrr", "واش راك خويا گاع اسره رجل وسيده وفتاه mdrr"),
        ("@one @two https://t.co/1", ""),
        ("😂", "ضحك"),
        ("", ""),
        ("#", ""),
    ],
)
def test_pipeline(tweet, cleaned):
    assert ArabicTweets()(tweet) == cleaned


TWEET = "@sara &quot;أُحبُّ&quot; القهوةَ جـداااا على ٣ رؤوس 😍🚗 #صباح_النور https://t.co/x1 ﷲ ک ~"


@pytest.mark.parametrize(
    ("switch", "value", "there", "by_default"),
    [
        ("html_entities", False, "quot", ""),
        ("unicode_form", None, "ﷲ", "الله"),
        ("unicode_form", "NFC", "ﷲ", "الله"),
        ("urls", None, "https t.co x1", ""),
        ("urls", "رابط", "رابط", ""),
        ("mentions", None, "sara", ""),
        ("mentions", "مستخدم", "مستخدم", ""),
        ("emoji", "emotions", "رووس حب صباح", "رووس حب سياره صباح"),
        ("emoji", "names", "عينين", "حب"),
        ("emoji", "remove", "رووس صباح", "رووس حب سياره صباح"),
        ("emoji", "keep", "😍🚗", "حب سياره"),
        ("digits", False, "٣", "3"),
        ("diacritics", False, "اُحبُّ", "احب"),
        ("tatweel", False, "جـدا", "جدا"),
        ("keyboard_letters", False, "ک", "ك"),
        ("alef", False, "أحب", "احب"),
        ("alef_maqsura", False, "على", "علي"),
        ("teh_marbuta", False, "القهوة", "القهوه"),
        ("hamza", False, "رؤوس", ""),
        ("repeated_letters", None, "جداااا", "جداا"),
        ("repeated_letters", 1, "جدا على", "جداا"),
        ("special_characters", False, '"احب"', "احب"),
        ("kept_characters", "~", "~", ""),
    ],
)
def test_each_switch(switch, value, there, by_default):
    start = {"hamza": True}
    default, changed = ArabicTweets(**start)(TWEET), ArabicTweets(**{**start, switch: value})(TWEET)
    there = there.replace("على", "على" if switch == "alef_maqsura" else "علي")
    assert there in changed
    assert there not in default
    assert by_default in default


def test_hash_signs_switch():
    assert "صباح النور" in ArabicTweets()(TWEET)
    assert "#صباح_النور" in ArabicTweets(hash_signs=False, special_characters=False)(TWEET)


def test_all_switches_off_squeezes_blanks_only():
    off = ArabicTweets(
        **{name: False for name, value in vars(ArabicTweets()).items() if isinstance(value, bool)},
        **dict.fromkeys(["unicode_form", "urls", "mentions", "repeated_letters"]),
        emoji="keep",
    )
    assert off(f"  {TWEET} \n") == TWEET


def test_settings_that_are_refused():
    with pytest.raises(ValueError, match=r"emoji must be one of emotions_or_names, emotions, .*; found 'drop'"):
        ArabicTweets(emoji="drop")
    with pytest.raises(ValueError, match="unicode_form must be one of NFC, NFKC; found 'NFD'"):
        ArabicTweets(unicode_form="NFD")
    with pytest.raises(ValueError, match=r"repeated_letters must be at least 1, or None .*; found 0"):
        ArabicTweets(repeated_letters=0)
