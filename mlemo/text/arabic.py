"""Normalization of Arabic letters and marks, and the cleaning of Arabic tweets."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Literal, get_args

import regex

from mlemo.text.base import TextCleaning, check_choice
from mlemo.text.characters import (
    SENTENCE_MARKS,
    UnicodeForm,
    normalize_unicode,
    remove_special_characters,
    shorten_repeats,
    squeeze_whitespace,
)
from mlemo.text.emoji import emoji_to_emotions, emoji_to_names, remove_emoji
from mlemo.text.tweets import check_repeats, remove_hash_signs, replace_mentions, replace_urls, unescape_html

__all__ = [
    "ArabicTweets",
    "normalize_alef",
    "normalize_alef_maqsura",
    "normalize_digits",
    "normalize_hamza",
    "normalize_keyboard_letters",
    "normalize_teh_marbuta",
    "remove_diacritics",
    "remove_tatweel",
]

# All marks of the Arabic blocks: harakat, shadda, superscript alef, honorifics and the marks of the Quran; the latter
# also as separate signs (end of ayah, sajda, small letters).
_DIACRITICS = regex.compile(
    r"(?V1)[\p{Mn}&&[\u0600-\u06FF\u0750-\u077F\u0870-\u08FF]]|[\u06DD\u06DE\u06E5\u06E6\u06E9]"
)
_ALEF = regex.compile(r"[آأإٱٲٳٵ]|ا[\u0653-\u0655]")
_HAMZA = str.maketrans("ؤئ", "وي")
_KEYBOARD = str.maketrans("کڪیېےہھەۀۂۃ", "ككيييهههههة")
_DIGITS = str.maketrans("٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹", "01234567890123456789")


def _compose(text: str) -> str:
    # a hamza after the letter, as a separate mark, has a composed form with some letters only
    return unicodedata.normalize("NFC", text)


def remove_diacritics(text: str) -> str:
    """Remove harakat and all other marks on Arabic letters, and Quranic signs; keep letters with a hamza or madda.

    Example:
        >>> remove_diacritics("أَنَا سَعِيدٌ جِدًّا"), remove_diacritics("هٰذا")
        ('أنا سعيد جدا', 'هذا')
    """
    return _DIACRITICS.sub("", text)


def remove_tatweel(text: str) -> str:
    """Remove tatweel (kashida, U+0640), which stretches a word and is not a letter.

    Example:
        >>> remove_tatweel("ســـعيد")
        'سعيد'
    """
    return _compose(text.replace("\u0640", ""))


def normalize_alef(text: str) -> str:
    """Replace alef with hamza, madda or wasla by bare alef, as in most work on Arabic tweets (Larkey et al., 2002).

    Example:
        >>> normalize_alef("أحب إيمان وآمال")
        'احب ايمان وامال'
    """
    return _ALEF.sub("ا", text)


def normalize_alef_maqsura(text: str) -> str:
    """Replace alef maqsura by yeh (Larkey et al., 2002), which writers in Egypt and elsewhere interchange.

    Example:
        >>> normalize_alef_maqsura("على مستشفى")
        'علي مستشفي'
    """
    return _compose(text.replace("ى", "ي"))


def normalize_teh_marbuta(text: str) -> str:
    """Replace teh marbuta by heh (Larkey et al., 2002): in tweets its dots are often omitted.

    Example:
        >>> normalize_teh_marbuta("سعادة كبيرة")
        'سعاده كبيره'
    """
    return text.replace("ة", "ه")


def normalize_hamza(text: str) -> str:
    """Replace waw and yeh with hamza by waw and yeh (Darwish and Magdy, 2014); merges more words than the other steps.

    Example:
        >>> normalize_hamza("مؤلم وبائس")
        'مولم وبايس'
    """
    return text.translate(_HAMZA)


def normalize_keyboard_letters(text: str) -> str:
    """Replace Persian and Urdu kaf, yeh, heh and teh marbuta by the Arabic letters that look the same.

    Letters for sounds that Arabic lacks (پ چ ڤ گ ڨ) are kept: dialects and loan words use them.

    Example:
        >>> normalize_keyboard_letters("کیف حالک"), normalize_keyboard_letters("گلبي")
        ('كيف حالك', 'گلبي')
    """
    return _compose(text.translate(_KEYBOARD))


def normalize_digits(text: str) -> str:
    """Replace Arabic-Indic and Persian digits by 0 to 9.

    Example:
        >>> normalize_digits("٢٠٢٦ و ۱۴")
        '2026 و 14'
    """
    return text.translate(_DIGITS)


ArabicEmoji = Literal["emotions_or_names", "emotions", "names", "remove", "keep"]


@dataclass(frozen=True)
class ArabicTweets(TextCleaning):
    """The cleaning of Alrasheedy et al. (2026), section 4.1.1, with its steps in the order of the arguments.

    The paper names the steps; the functions of this package define the effect of each on each character. Links and
    emoji precede special characters, of which they consist; diacritics and tatweel precede letters, which they
    separate, and letters precede repeats. Whitespace is always normalized at the end. Cleaning twice equals cleaning
    once, unless a step produces what an earlier one replaces: ``htttp://`` with its repeats shortened, or an entity
    written with entities.

    Args:
        html_entities: Unescape ``&amp;``.
        unicode_form: Remove invisible characters and apply this normal form (NFKC: presentation forms become letters);
            ``None``: neither.
        digits: Replace Arabic-Indic digits by 0 to 9.
        urls: Replacement for each link; ``""`` removes links, ``None`` keeps them.
        mentions: Replacement for each ``@name``; ``""`` removes mentions, ``None`` keeps them.
        emoji: ``"emotions_or_names"``: Arabic words of emotion, or the Arabic CLDR name of an emoji without one;
            ``"emotions"``: other emoji are removed; ``"names"``: CLDR names for all; ``"remove"``; ``"keep"``.
        hash_signs: Replace ``#word_word`` by ``word word``.
        diacritics: Remove harakat and Quranic marks.
        tatweel: Remove tatweel.
        keyboard_letters: Replace Persian and Urdu forms of Arabic letters by Arabic ones.
        alef: Replace alef with hamza, madda or wasla by bare alef.
        alef_maqsura: Replace alef maqsura by yeh.
        teh_marbuta: Replace teh marbuta by heh.
        hamza: Replace waw and yeh with hamza by waw and yeh; off, since it merges words that are distinct in tweets.
        repeated_letters: Largest number of equal letters in a row; ``None``: unlimited.
        special_characters: Remove everything except letters, digits and ``kept_characters``.
        kept_characters: Signs that are not special characters.

    Raises:
        ValueError: A setting is not one of its choices, or ``repeated_letters`` is below 1.

    Example:
        >>> clean = ArabicTweets()
        >>> clean("@sara شكرااااا يا أُختي ❤️ #يوم_جميل https://t.co/aB1")
        'شكراا يا اختي حب يوم جميل'
        >>> clean("😂 https://t.co/aB1"), clean("@sara")
        ('ضحك', '')
    """

    html_entities: bool = True
    unicode_form: UnicodeForm | None = "NFKC"
    digits: bool = True
    urls: str | None = ""
    mentions: str | None = ""
    emoji: ArabicEmoji = "emotions_or_names"
    hash_signs: bool = True
    diacritics: bool = True
    tatweel: bool = True
    keyboard_letters: bool = True
    alef: bool = True
    alef_maqsura: bool = True
    teh_marbuta: bool = True
    hamza: bool = False
    repeated_letters: int | None = 2
    special_characters: bool = True
    kept_characters: str = SENTENCE_MARKS

    def __post_init__(self) -> None:
        if self.unicode_form is not None:
            check_choice("unicode_form", self.unicode_form, get_args(UnicodeForm))
        check_choice("emoji", self.emoji, get_args(ArabicEmoji))
        check_repeats(self.repeated_letters)

    def __call__(self, text: str) -> str:
        """Clean a tweet."""
        if self.html_entities:
            text = unescape_html(text)
        if self.unicode_form is not None:
            text = normalize_unicode(text, self.unicode_form)
        if self.digits:
            text = normalize_digits(text)
        if self.urls is not None:
            text = replace_urls(text, self.urls)
        if self.mentions is not None:
            text = replace_mentions(text, self.mentions)
        text = self._emoji(text)
        if self.hash_signs:
            text = remove_hash_signs(text)
        text = self._letters(text)
        if self.special_characters:
            text = remove_special_characters(text, self.kept_characters, keep_emoji=self.emoji == "keep")
        return squeeze_whitespace(text)

    def _emoji(self, text: str) -> str:
        if self.emoji == "keep":
            return text
        if self.emoji == "remove":
            return remove_emoji(text)
        if self.emoji == "names":
            return emoji_to_names(text, "ar")
        return emoji_to_emotions(text, names_for_others=self.emoji == "emotions_or_names")

    def _letters(self, text: str) -> str:
        steps = (
            (self.diacritics, remove_diacritics),
            (self.tatweel, remove_tatweel),
            (self.keyboard_letters, normalize_keyboard_letters),
            (self.alef, normalize_alef),
            (self.alef_maqsura, normalize_alef_maqsura),
            (self.teh_marbuta, normalize_teh_marbuta),
            (self.hamza, normalize_hamza),
        )
        for switched_on, step in steps:
            if switched_on:
                text = step(text)
        return text if self.repeated_letters is None else shorten_repeats(text, self.repeated_letters)
