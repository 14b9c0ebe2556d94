"""The contract of every text cleaning: plain switches, stored and built from YAML, idempotent, raising for no text."""

import pickle
import random
import sys
from dataclasses import FrozenInstanceError, dataclass, fields

import jsonargparse
import pytest
import torch

from mlemo.text import ArabicTweets, TextCleaning, Tweets, cleaning_from_dict, cleaning_to_dict

CLEANINGS = [
    Tweets(),
    Tweets(urls="", mentions="", hash_signs=True, accents=True, repeated_letters=2, special_characters=True),
    Tweets(urls="url", mentions="@user", emoji="keep", hash_signs=True, special_characters=True, kept_characters=""),
    Tweets(emoji="remove", language="ar", lowercase=False, accents=True, keep_n_tilde=True, repeated_letters=1),
    Tweets(language="es", accents=True, unicode_form="NFC"),
    ArabicTweets(),
    ArabicTweets(emoji="emotions", hamza=True, repeated_letters=1, kept_characters=""),
    ArabicTweets(emoji="keep", hash_signs=False, urls=None, mentions=None),
    ArabicTweets(emoji="names", special_characters=False, alef=False, diacritics=False, tatweel=False),
    ArabicTweets(emoji="remove", unicode_form="NFC", teh_marbuta=False, repeated_letters=None),
]
every_cleaning = pytest.mark.parametrize("cleaning", CLEANINGS, ids=range(len(CLEANINGS)))

WRITTEN = """
So HAPPY cooool Ñandú año ¡qué! don’t 5% 10:30 x_y <3 :) ^_^ [NAME] AT&T &amp; &amp;lt; &#39;
ｆｕｌｌ 𝓱𝓲
أُحِبُّكِ جـــداااا إلى القهوةِ مؤلم ﻻ ﷺ ٢٠٢٦ ۱۴ کیف هٰذا ههههه ؟ ، گاع می‌خواهم قرآن ۝ اٰ ـ
@ana_1 RT @x: #So_happy #يوم_جميل # ## @ _ https://t.co/aB1. www.example.org/a?b=c#d t.co/x
😂 😂😂 ❤️ ❤ 👍🏽 🏽 👩‍🚀 👨🏿‍🤝‍👩🏻 🇩🇿 🇦 1️⃣ #️⃣ ‼ ™ ★ 🤦🏽‍♀️ ∞ ⠀
"""
PIECES = [
    *WRITTEN.split(),
    *["\u200f", "\u202b", "\ufeff", "\u00ad", "\u200b", "\u200d", "\u200c", "\ufe0f", "\u0301", "\u064e", "\u0654"],
    *[" ", "\u00a0", "\n", "\t", "´", "¨", "J\u030c", "İ", "ß", "नमस्ते", "한국", "がく", "\ufffd", "\x00", "\ud83d"],
]


def texts(number, seed):
    chance = random.Random(seed)
    for _ in range(number):
        yield chance.choice(["", " "]).join(chance.choices(PIECES, k=chance.randint(1, 9)))


@every_cleaning
def test_cleaning_twice_is_cleaning_once(cleaning):
    for text in texts(3000, seed=1):
        once = cleaning(text)
        assert cleaning(once) == once, text


def test_where_a_second_cleaning_changes_something():
    # a step brings to light what an earlier one takes
    clean = Tweets(urls="", repeated_letters=2)
    assert clean("htttps://example.org/x") == "https://example.org/x"
    assert clean(clean("htttps://example.org/x")) == ""
    assert Tweets()("&am&#112;;") == "&amp;"


@every_cleaning
def test_no_text_is_an_error(cleaning):
    chance = random.Random(2)
    for _ in range(1500):
        text = "".join(chr(chance.randint(0, chance.choice([127, 0x7FF, 0xFFFF, sys.maxunicode]))) for _ in range(20))
        assert isinstance(cleaning(text), str)
    for text in ("", " ", "\x00", "\ud800", "#" * 5000, "&amp;" * 2000, "😂" * 2000, "@" * 5000, "ا" * 20000, "&#0;"):
        assert isinstance(cleaning(text), str)


@every_cleaning
def test_blanks_are_single_and_not_at_the_ends(cleaning):
    for text in texts(300, seed=3):
        assert cleaning(text) == " ".join(cleaning(text).split())


@every_cleaning
def test_stored_as_plain_values(cleaning, tmp_path):
    stored = cleaning_to_dict(cleaning)
    assert stored["class_path"] == f"mlemo.text.{type(cleaning).__name__}"
    assert stored["init_args"] == {field.name: getattr(cleaning, field.name) for field in fields(cleaning)}
    torch.save(stored, tmp_path / "cleaning.pt")
    again = cleaning_from_dict(torch.load(tmp_path / "cleaning.pt", weights_only=True))
    assert again == cleaning
    assert hash(again) == hash(cleaning)
    assert pickle.loads(pickle.dumps(cleaning)) == cleaning


def test_cleanings_are_values():
    assert len(set(CLEANINGS)) == len(CLEANINGS)
    assert Tweets() != Tweets(lowercase=False)
    with pytest.raises(FrozenInstanceError):
        Tweets().lowercase = False


@dataclass(frozen=True)
class Shout(TextCleaning):
    mark: str = "!"

    def __call__(self, text: str) -> str:
        return text.upper() + self.mark


def test_a_cleaning_of_the_user():
    stored = cleaning_to_dict(Shout("?"))
    assert stored == {"class_path": f"{__name__}.Shout", "init_args": {"mark": "?"}}
    assert cleaning_from_dict(stored)("so") == "SO?"


def test_what_cannot_be_stored_or_read():
    with pytest.raises(ValueError, match=r"Shout\.mark must be plain"):
        cleaning_to_dict(Shout(object()))
    with pytest.raises(ValueError, match=r"a stored cleaning has class_path and init_args; \['class_path'\] missing"):
        cleaning_from_dict({"init_args": {}})
    with pytest.raises(ValueError, match=r"the stored cleaning 'torch\.nn\.Linear' is not a TextCleaning"):
        cleaning_from_dict({"class_path": "torch.nn.Linear", "init_args": {}})
    with pytest.raises(ValueError, match=r"'mlemo\.text\.Tweets' cannot be built from .*: .*lower_case"):
        cleaning_from_dict({"class_path": "mlemo.text.Tweets", "init_args": {"lower_case": True}})
    with pytest.raises(ValueError, match=r"'mlemo\.text\.TextCleaning' cannot be built"):
        cleaning_from_dict({"class_path": "mlemo.text.TextCleaning", "init_args": {}})


@pytest.mark.parametrize("name", ["Tweets", "mlemo.text.Tweets"])
def test_from_yaml(name):
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--cleaning", type=TextCleaning | None, default=None)
    config = parser.parse_string(f"cleaning: {{class_path: {name}, init_args: {{lowercase: false, urls: ''}}}}")
    assert parser.instantiate_classes(config).cleaning == Tweets(lowercase=False, urls="")
    assert parser.instantiate_classes(parser.parse_args([])).cleaning is None
    with pytest.raises(jsonargparse.ArgumentError):
        parser.parse_string(f"cleaning: {{class_path: {name}, init_args: {{emoji: emotions}}}}")
