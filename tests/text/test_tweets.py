"""Links, mentions, hashtags, entities; the cleaning of tweets and their tokens; the sentences are invented."""

import html.entities
import random

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from mlemo.text import Tweets, tweet_pre_tokenizer
from mlemo.text.tweets import remove_hash_signs, replace_mentions, replace_urls, unescape_html


def words(text):
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see https://t.co/aB1 now", "see U now"),
        ("see HTTP://example.org/a?b=c&d=%20#top, then", "see U , then"),
        ("(https://example.org/a_(b))", "( U ))"),
        ("ends https://t.co/aB1.", "ends U ."),
        ("ends https://t.co/aB1...", "ends U ..."),
        ("www.example.org/مرحبا t.co/xyz pic.twitter.com/Ab", "U مرحبا U U"),
        ("شوفhttps://t.co/aB1شكرا", "شوف U شكرا"),
        ("https://t.co/a😂", "U 😂"),
        ("https://a.b<br>https://c.d", "U <br> U"),
        ("awwww.so sweet", "awwww.so sweet"),
        ("http:// is no link, nor is at.co/x", "http:// is no link, nor is at.co/x"),
    ],
)
def test_urls(text, expected):
    assert words(replace_urls(text, "U")) == words(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@ana hola", "M hola"),
        ("hola @ana_1, @leo!", "hola M , M !"),
        ("RT @ana: hola", "M hola"),
        ("ART @ana: hola", "ART M : hola"),
        ("thanks @ana:)", "thanks M :)"),
        ("شكرا@ana_1شكرا", "شكرا M شكرا"),
        ("mail ana@example.org @ 5", "mail ana@example.org @ 5"),
        ("@@ana", "@ M"),
        (".@ana @ana@leo: ok", ". M M : ok"),
    ],
)
def test_mentions(text, expected):
    assert words(replace_mentions(text, "M")) == words(expected)


def test_words_put_in_are_taken_literally():
    assert replace_urls("https://t.co/x", r"\1<url>\g<0>").strip() == r"\1<url>\g<0>"
    assert replace_mentions("@a", r"\1").strip() == r"\1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#so_happy #2day", "so happy 2day"),
        ("#كأس_العالم_٢٠٢٦ الآن", "كأس العالم ٢٠٢٦ الآن"),
        ("#मज़ा_आया ##double # alone #", "मज़ा आया double alone"),
        ("snake_case stays, C# goes", "snake_case stays, C goes"),
        ("#️⃣ stays", "#️⃣ stays"),
    ],
)
def test_hash_signs(text, expected):
    assert words(remove_hash_signs(text)) == expected


def test_entities():
    assert unescape_html("a &amp; b &lt;3 &gt; &quot;&#39;&#x1F602;&eacute;&nbsp;") == "a & b <3 > \"'😂é\u00a0"
    assert unescape_html("&amp;amp;lt; &#38;amp; &amp;") == "< & &"
    assert unescape_html("AT&T x&notes R&D; &unknown; & ;") == "AT&T x&notes R&D; &unknown; & ;"
    assert unescape_html("&#99999999999999999999;" + "&#" + "9" * 9000 + ";").startswith("&#999")
    for name, character in html.entities.html5.items():
        if name.endswith(";"):
            assert unescape_html(f"&{name}") == character


@pytest.mark.parametrize(
    ("settings", "tweet", "cleaned"),
    [
        (
            {},
            "Best DAY ever 😍!! @ana https://t.co/Ab",
            "best day ever smiling face with heart-eyes !! @ana https://t.co/ab",
        ),
        ({}, "𝓢𝓸 ＨＡＰＰＹ don’t  stop\u200b now", "so happy don't stop now"),
        ({"lowercase": False}, "NO &amp; YES", "NO & YES"),
        ({"urls": "", "mentions": "@user"}, "@ana mira https://t.co/Ab ya", "@user mira ya"),
        ({"language": "es", "accents": True}, "¡Qué AÑO más raro! 😭", "¡que ano mas raro! cara llorando fuerte"),
        ({"accents": True, "keep_n_tilde": True}, "El NIÑO está aquí", "el niño esta aqui"),
        ({"emoji": "keep"}, "Fam 👨‍👩‍👧 1️⃣ ❤️", "fam 👨‍👩‍👧 1️⃣ ❤️"),
        ({"emoji": "keep", "special_characters": True}, "ok~ 👨‍👩‍👧 #️⃣ (❤️)", "ok 👨‍👩‍👧 #️⃣ ❤️"),
        ({"emoji": "remove"}, "ok 👍🏽 then", "ok then"),
        ({"hash_signs": True}, "#So_Happy today", "so happy today"),
        ({"repeated_letters": 2}, "SOOOooo cooool", "soo cool"),
        ({"repeated_letters": 1}, "Noooo", "no"),
        ({"special_characters": True}, "wow!! it's [great] ~ 5%", "wow!! it's great 5"),
        ({"special_characters": True, "kept_characters": ""}, "wow!! it's", "wow it s"),
        ({"html_entities": False}, "a &amp; b", "a &amp; b"),
        ({"unicode_form": None}, "ＡＢ\u200b", "ａｂ\u200b"),
        ({"unicode_form": "NFC"}, "ＡＢ e\u0301 \ufeff", "ａｂ é"),
        ({"language": "ar"}, "شكرا 😂", "شكرا وجه بدموع فرح"),
        ({}, "", ""),
        ({"mentions": "", "urls": ""}, "@ana https://t.co/Ab", ""),
    ],
)
def test_cleaning(settings, tweet, cleaned):
    assert Tweets(**settings)(tweet) == cleaned


def test_settings_that_are_refused():
    with pytest.raises(ValueError, match="emoji must be one of names, remove, keep; found 'emotions'"):
        Tweets(emoji="emotions")
    with pytest.raises(ValueError, match=r"language must be one of en, es, .*; found 'ca'"):
        Tweets(language="ca")
    with pytest.raises(ValueError, match="unicode_form must be one of NFC, NFKC"):
        Tweets(unicode_form="nfc")
    with pytest.raises(ValueError, match="repeated_letters must be at least 1"):
        Tweets(repeated_letters=-1)


def tokens(text):
    return [token for token, _ in tweet_pre_tokenizer().pre_tokenize_str(text)]


@pytest.mark.parametrize(
    "expected",
    [  # tokens as they stand between blanks
        "I can't believe it ! ! :-( @ana_1 #so_sad ... :'( https://t.co/aB1?c=d .",
        "Rock'n'roll 10k 2moro b4 3.14 1,000 50% 10:30 , 24/7 ... xD <3 </3 ^_^ T_T o_O -_- =) (: 8)",
        "the [NAME] said [name] [ 1 ] ( why ) - not",
        "¡ Qué año , niño ! no… ¿ Sí ? l’amour".replace("no…", "no …"),
        "أَنَا سَعِيدٌ جداً ، #يوم_جميل @sara ٢٠٢٦ ؟ می‌خواهم",
        "😂 👩‍👩‍👧 👍🏽 🇩🇿 1️⃣ #️⃣ ❤️‍🔥 🏴󠁧󠁢󠁥󠁮󠁧󠁿 नमस्ते",
        "ok :) a ; b : c / d UU 0001 é",
        "snake_case & * C # x + y",
    ],
)
def test_tokens(expected):
    assert tokens(expected) == expected.split()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no!!:)", ["no", "!", "!", ":)"]),
        ("😂😂❤️ok", ["😂", "😂", "❤️", "ok"]),
        ("🇩🇿🇪🇸", ["🇩🇿", "🇪🇸"]),
        ("#win🏆@ana", ["#win", "🏆", "@ana"]),
        ("كيف؟مرحبا😂", ["كيف", "؟", "مرحبا", "😂"]),
        ("list:(a)", ["list", ":", "(", "a", ")"]),
        ("Re:Dog 5:3", ["Re", ":", "Dog", "5:3"]),
        ("https://t.co/aB1.", ["https://t.co/aB1", "."]),
        ("'quoted' dogs'", ["'", "quoted", "'", "dogs", "'"]),
        (" \t\n", []),
        ("", []),
    ],
)
def test_tokens_without_blanks(text, expected):
    assert tokens(text) == expected


SIGNS = r"""
ab éñ ا لة ◌ُ 12 . , ! : ) ( # @ _ ' < 3 & ; / - * ~ \ [ ] 😂 ❤️ 👩‍🚀 🇩🇿 🏽
"""
PIECES = [*SIGNS.split(), "\u200d", "\u200c", "\ufe0f", "\u0301", "\x00", " ", "\n", "\u200f"]


def test_no_character_but_blanks_is_lost():
    chance = random.Random(0)
    for _ in range(500):
        text = "".join(chance.choices(PIECES, k=12))
        found = tweet_pre_tokenizer().pre_tokenize_str(text)
        assert "".join(token for token, _ in found) == "".join(text.split()), text
        assert all(text[start:end] == token for token, (start, end) in found)


def test_the_pre_tokenizer_is_saved_with_the_tokenizer(tmp_path):
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, ":)": 1, "#tag": 2, "👍🏽": 3, "hi": 4}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tweet_pre_tokenizer()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    loaded = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert loaded.encode("hi👍🏽 #tag:) @x").ids == tokenizer.encode("hi👍🏽 #tag:) @x").ids == [4, 3, 2, 1, 0]
