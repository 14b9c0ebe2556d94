"""Cleaning and tokenization of tweets: links, mentions, hashtags, HTML entities, emoticons."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Literal, get_args

import regex
from tokenizers import Regex
from tokenizers.pre_tokenizers import PreTokenizer, Split

from mlemo.text.base import TextCleaning, check_choice
from mlemo.text.characters import (
    SENTENCE_MARKS,
    UnicodeForm,
    lower_case,
    normalize_unicode,
    remove_accents,
    remove_special_characters,
    shorten_repeats,
    squeeze_whitespace,
)
from mlemo.text.emoji import EMOJI, LANGUAGES, emoji_to_names, remove_emoji

__all__ = [
    "Tweets",
    "check_repeats",
    "remove_hash_signs",
    "replace_mentions",
    "replace_urls",
    "tweet_pre_tokenizer",
    "unescape_html",
]

# Links are ASCII: an Arabic or Chinese word that follows one without whitespace is text. A sign at the end belongs to
# the sentence.
_URL = (
    r"(?:https?://|(?<![A-Za-z0-9])www\.)[A-Za-z0-9](?:[!#-;=?-~]*[A-Za-z0-9/=_~#&%-])?"
    r"|(?<![A-Za-z0-9@._/-])(?:t\.co|bit\.ly|youtu\.be|pic\.twitter\.com)/[A-Za-z0-9_/-]+"
)
# An e-mail address is not a mention; the name after a retweet mark belongs to the mark.
_MENTION = r"(?<![A-Za-z0-9_])(?:@[A-Za-z0-9_]+)+"
_WORD = "[\\p{L}\\p{M}\\p{N}_\u200c\u200d]"

_URLS = regex.compile(_URL, regex.IGNORECASE)
_MENTIONS = regex.compile(rf"\bRT\s+{_MENTION}:?|{_MENTION}")
_HASHTAG = regex.compile(rf"#(?!\uFE0F?\u20E3)\s*({_WORD}*)")
# Entities without a semicolon are kept: "AT&T" and "x&notes" are text. "&amp;amp;" has been escaped twice.
_ENTITY = regex.compile(r"&(?:(?:amp|#38|#x26);)*(#[0-9]{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});", regex.IGNORECASE)

_NOSE, _MOUTH = r"['’]?[-o^]?", r"[()\[\]{}dDpPoOsS/\\|*$@3]"
_EMOTICON = "|".join(
    (
        rf"[:;=]{_NOSE}{_MOUTH}+(?![\p{{L}}\p{{N}}])",  # :) ;-P :'( =D
        rf"(?<![\p{{L}}\p{{N}}])[8xX]-?{_MOUTH}+(?![\p{{L}}\p{{N}}])",  # xD 8-)
        r"[(\[]['’]?[-o^]?[:;=](?![\p{L}\p{N}])",  # (: (-;
        r"<3+|</3",
        r"(?<![\p{L}\p{N}])(?:\^[_.]?\^|[oO][_.][oO]|[tT]_[tT]|[uU]_[uU]|-[_.]+-|>[_.]<|;_;)(?![\p{L}\p{N}])",
    )
)


def unescape_html(text: str) -> str:
    r"""Replace HTML entities by their characters, including those that were escaped several times.

    Example:
        >>> unescape_html("salt &amp; pepper &lt;3 &amp;amp;quot;AT&T&#39;s")
        'salt & pepper <3 "AT&T\'s'
    """
    return _ENTITY.sub(lambda match: html.unescape(f"&{match[1]};"), text)


def replace_urls(text: str, word: str = "") -> str:
    """Remove links, or replace each by a word.

    Example:
        >>> replace_urls("look: https://t.co/aB1."), replace_urls("www.example.org/a?b=c مرحبا", "url")
        ('look:   .', ' url  مرحبا')
    """
    return _URLS.sub(lambda _: f" {word} ", text)


def replace_mentions(text: str, word: str = "") -> str:
    """Remove ``@name``, or replace each by a word, together with an ``RT`` before it.

    Example:
        >>> replace_mentions("RT @ana_1: hola @leo!"), replace_mentions("gracias @ana", "@user")
        ('   hola   !', 'gracias  @user ')
    """
    return _MENTIONS.sub(lambda _: f" {word} ", text)


def remove_hash_signs(text: str) -> str:
    """Remove hash signs but keep the words of a hashtag, with its underscores replaced by spaces.

    Example:
        >>> remove_hash_signs("#so_happy today #كأس_العالم")
        ' so happy today  كأس العالم'
    """
    return _HASHTAG.sub(lambda match: " " + match[1].replace("_", " "), text)


def check_repeats(at_most: int | None) -> None:
    """Raise an error for a number of repeated letters below 1.

    Raises:
        ValueError: The number is below 1.
    """
    if at_most is not None and at_most < 1:
        raise ValueError(f"repeated_letters must be at least 1, or None to keep them; found {at_most}")


TweetEmoji = Literal["names", "remove", "keep"]


@dataclass(frozen=True)
class Tweets(TextCleaning):
    """The cleaning of tweets in any language, with its steps in the order of the arguments.

    The defaults are the normalization of Hurtado et al. (2020), section 4: lower case, and emoji as their CLDR names;
    for Spanish set ``language: es`` and ``accents: true``, which removes accents, diaeresis and the tilde of ñ. Links,
    mentions and hashtags are kept, as tokens of :func:`tweet_pre_tokenizer`. Whitespace is always normalized at the
    end. Cleaning twice equals cleaning once, unless a step produces what an earlier one replaces: ``htttp://`` with its
    repeats shortened, or an entity written with entities.

    Args:
        html_entities: Unescape ``&amp;``.
        unicode_form: Remove invisible characters and apply this normal form (NFKC: full-width and mathematical letters
            become ordinary ones); ``None``: neither.
        urls: Replacement for each link; ``""`` removes links, ``None`` keeps them.
        mentions: Replacement for each ``@name``; ``""`` removes mentions, ``None`` keeps them.
        emoji: ``"names"``: CLDR short names; ``"remove"``; ``"keep"``.
        language: Language of the emoji names: ar, de, en, es, fa, fr, id, it, ja, ko, pt, ru, tr or zh.
        hash_signs: Replace ``#word_word`` by ``word word``.
        accents: Remove marks on Latin letters.
        keep_n_tilde: Keep ñ when removing marks.
        lowercase: Convert to lower case.
        repeated_letters: Largest number of equal letters in a row; ``None``: unlimited.
        special_characters: Remove everything except letters, digits and ``kept_characters``.
        kept_characters: Signs that are not special characters.

    Raises:
        ValueError: A setting is not one of its choices, or ``repeated_letters`` is below 1.

    Example:
        >>> Tweets()("So HAPPY 😂 &amp; proud! #ThankYou @ana")
        'so happy face with tears of joy & proud! #thankyou @ana'
        >>> Tweets(language="es", accents=True, mentions="")("@ana ¡QUÉ año! 😂")
        '¡que ano! cara llorando de risa'
    """

    html_entities: bool = True
    unicode_form: UnicodeForm | None = "NFKC"
    urls: str | None = None
    mentions: str | None = None
    emoji: TweetEmoji = "names"
    language: str = "en"
    hash_signs: bool = False
    accents: bool = False
    keep_n_tilde: bool = False
    lowercase: bool = True
    repeated_letters: int | None = None
    special_characters: bool = False
    kept_characters: str = SENTENCE_MARKS

    def __post_init__(self) -> None:
        if self.unicode_form is not None:
            check_choice("unicode_form", self.unicode_form, get_args(UnicodeForm))
        check_choice("emoji", self.emoji, get_args(TweetEmoji))
        check_choice("language", self.language, LANGUAGES)
        check_repeats(self.repeated_letters)

    def __call__(self, text: str) -> str:
        """Clean a tweet."""
        if self.html_entities:
            text = unescape_html(text)
        if self.unicode_form is not None:
            text = normalize_unicode(text, self.unicode_form)
        if self.urls is not None:
            text = replace_urls(text, self.urls)
        if self.mentions is not None:
            text = replace_mentions(text, self.mentions)
        if self.emoji != "keep":
            text = remove_emoji(text) if self.emoji == "remove" else emoji_to_names(text, self.language)
        if self.hash_signs:
            text = remove_hash_signs(text)
        if self.accents:
            text = remove_accents(text, self.keep_n_tilde)
        if self.lowercase:
            text = lower_case(text)
        if self.repeated_letters is not None:
            text = shorten_repeats(text, self.repeated_letters)
        if self.special_characters:
            text = remove_special_characters(text, self.kept_characters, keep_emoji=self.emoji == "keep")
        return squeeze_whitespace(text)


def tweet_pre_tokenizer() -> PreTokenizer:
    """Create a pre-tokenizer of tweets similar to TweetMotif (O'Connor et al., 2010; used by Hurtado et al., 2020).

    One token each: links, placeholders (``[NAME]``), mentions, hashtags, emoji (joined ones too), emoticons, numbers
    (``10:30``, ``5%``), words with their marks and apostrophes, ellipses, and any other sign; whitespace is removed.
    Case is kept. The rules are one regular expression, stored in ``tokenizer.json``. Scripts without spaces between
    words (Chinese, Thai) need a segmenter first.

    Returns:
        A pre-tokenizer for a ``tokenizers.Tokenizer`` with words as its model.

    Example:
        >>> tokens = tweet_pre_tokenizer().pre_tokenize_str("@ana don't cry :'( #so_sad❤️ 10:30!!")
        >>> print(*[token for token, _ in tokens])
        @ana don't cry :'( #so_sad ❤️ 10:30 ! !
    """
    tokens = (
        rf"(?i:{_URL})",
        r"\[\p{L}+\]",
        _MENTION,
        EMOJI,
        rf"#{_WORD}+",
        _EMOTICON,
        rf"(?<!{_WORD})\p{{N}}+(?:[.,:/]\p{{N}}+)*(?!{_WORD})[%٪]?",
        rf"{_WORD}+(?:['’]{_WORD}+)*",
        r"\.{2,}",
        r"\S\p{M}*",
    )
    # everything else, which is whitespace, is removed
    return Split(Regex("|".join(tokens)), behavior="removed", invert=True)
