"""Emoji as names and as Arabic words of emotion."""

import unicodedata

import emoji
import pytest
import regex

from mlemo.text.emoji import _EMOTIONS, EMOJI, LANGUAGES, emoji_to_emotions, emoji_to_names, remove_emoji

TONES = "🏻🏼🏽🏾🏿"
QUALIFIED = emoji.STATUS["fully_qualified"]
SEQUENCES = [sequence for sequence, data in emoji.EMOJI_DATA.items() if data["status"] > emoji.STATUS["component"]]
ONE = regex.compile(EMOJI)


def test_every_emoji_is_one_match():
    assert [sequence for sequence in SEQUENCES if not ONE.fullmatch(sequence)] == []
    for text in ("😂😂", "🇩🇿🇪🇸", "👍🏽👍", "❤️❤", "1️⃣2️⃣", "👩‍🚀👨‍👩‍👧"):
        assert len(ONE.findall(text)) == 2, text


def test_what_is_no_emoji_is_no_match():
    assert ONE.findall("plain text, 1 # * 2 ١ ñ © is one") == ["©"]
    assert ONE.findall("شكرا 你好 → ✂") == ["✂"]


@pytest.mark.parametrize("language", ["en", "es", "ar", "zh"])
def test_names_are_those_of_the_tables(language):
    emoji.config.load_language(language)
    for sequence in SEQUENCES:
        if emoji.EMOJI_DATA[sequence]["status"] == QUALIFIED and not set(sequence) & set(TONES):
            name = unicodedata.normalize("NFKC", emoji.EMOJI_DATA[sequence][language]).replace("’", "'")
            letters = regex.sub(r"[^\p{L}\p{M}\p{N}'-]", " ", name).split()
            assert letters, sequence
            assert emoji_to_names(f"a{sequence}b", language).split() == ["a", *letters, "b"], sequence


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_emoji_colon_or_underscore_is_left_in_any_language(language):
    text = emoji_to_names(" ".join(SEQUENCES), language)
    assert not regex.search(rf"{EMOJI}|[:_#*@]|[\u200d\ufe0e\ufe0f]", text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("👍🏿 👍", "thumbs up thumbs up"),  # skin tones are left out
        ("👩🏽‍🚀", "woman astronaut"),
        ("👨‍👩‍👧", "family man woman girl"),
        ("👨🏿‍🤝‍👩🏻", "man handshake woman"),  # no name without its tones: the names of the parts
        ("🐶‍🔥", "dog face fire"),
        ("❤ ❤️ ❤︎ ❤️‍🔥", "red heart red heart red heart heart on fire"),
        ("🇪🇸 🏴󠁧󠁢󠁷󠁬󠁳󠁿", "Spain Wales"),
        ("1️⃣ #️⃣ 2⃣", "keycap 1 keycap keycap 2"),
        ("✋ 🏽 x", "raised hand x"),  # a tone parted from its hand
        ("👒", "woman's hat"),
        ("🇦", "🇦"),  # half of a flag
        ("★ \U0001faff", "★ \U0001faff"),  # pictographs without a name
        ("no emoji, 5 * 3 #1", "no emoji, 5 * 3 #1"),
    ],
)
def test_english_names(text, words):
    assert " ".join(emoji_to_names(text).split()) == words


def test_names_in_other_languages():
    assert emoji_to_names("😂", "es").strip() == "cara llorando de risa"
    assert emoji_to_names("😂", "ar").strip() == "وجه بدموع فرح"
    assert emoji_to_names("😂", "zh").strip() == "笑哭了"


def test_unknown_language():
    with pytest.raises(ValueError, match=r"language of emoji names must be one of en, es, .*; found 'xx'"):
        emoji_to_names("😂", "xx")


def test_the_table_of_emotions():
    listed = [sequence for row in _EMOTIONS.values() for sequence in row.split()]
    assert len(listed) == len(set(listed))
    assert [sequence for sequence in listed if not emoji.is_emoji(sequence)] == []
    assert all(regex.fullmatch(r"[\u0621-\u064A]+", word) for word in _EMOTIONS)
    assert emoji_to_emotions(" ".join(listed)).split() == [w for w, row in _EMOTIONS.items() for _ in row.split()]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("😭😡", "بكاء غضب"),
        ("❤️ ♥ 💕", "حب حب حب"),
        ("🤦 🤦🏽‍♀️ 🤦‍♂️", "إحباط إحباط إحباط"),  # tone and gender change nothing
        ("😮‍💨 😵‍💫 ❤️‍🔥", "ارتياح حيرة حب"),
    ],
)
def test_emotions(text, words):
    assert " ".join(emoji_to_emotions(text).split()) == words
    assert " ".join(emoji_to_emotions(text, names_for_others=False).split()) == words


def test_emoji_without_an_emotion():
    assert emoji_to_emotions("في 🚗 🇩🇿 الآن").split() == ["في", "سيارة", "علم", "الجزائر", "الآن"]
    assert emoji_to_emotions("في 🚗 🇩🇿 الآن", names_for_others=False).split() == ["في", "الآن"]


def test_removal_leaves_nothing_of_any_emoji():
    assert remove_emoji("".join(SEQUENCES)).strip() == ""
    assert remove_emoji("a😂b 👍🏽 ½ ★").split() == ["a", "b", "½", "★"]
