"""Replacement of emoji by names in the Unicode Common Locale Data Repository (CLDR) or by Arabic emotion words."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import cache

import emoji
import regex

from mlemo.text.base import check_choice

__all__ = ["EMOJI", "LANGUAGES", "emoji_to_emotions", "emoji_to_names", "remove_emoji"]

LANGUAGES: tuple[str, ...] = tuple(emoji.LANGUAGES)

# Characters, not escapes, in the patterns: the engine of `tokenizers` does not support Python's escapes.
_ELEMENT = "\\p{Extended_Pictographic}[\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]*[\U000e0020-\U000e007f]*"
EMOJI = (
    f"{_ELEMENT}(?:\u200d{_ELEMENT})*"  # pictographs, single or joined (families, professions), with skin tones
    "|[\U0001f1e6-\U0001f1ff]{2}"  # flags
    "|[0-9#*]\ufe0f?\u20e3"  # keycaps
    "|[\U0001f3fb-\U0001f3ff]"  # a separate skin tone, as in tokenized corpora
)
"""A pattern of one emoji, for the engines of ``regex`` and of ``tokenizers``."""

_EMOJI = regex.compile(EMOJI)
_TONES = "\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"
_WITHOUT_VARIANTS = str.maketrans("", "", "\ufe0e\ufe0f" + _TONES)
_NOT_IN_WORDS = regex.compile(r"[^\p{L}\p{M}\p{N}'-]+")

# Arabic word -> emoji that express it.
_EMOTIONS = {
    "فرح": "😀 😃 😄 😁 😊 ☺ 🙂 😺 😸 🥳 🎉 🎊 🥂 💃 🕺",  # joy
    "ضحك": "😂 🤣 😆 😅 😹",  # laughter
    "حب": "❤ 🧡 💛 💚 💙 💜 🖤 🤍 🤎 🩷 🩵 🩶 ♥ ❣ 💕 💞 💓 💗 "
    "💖 💘 💝 💟 💌 😍 🥰 😘 😗 😙 😚 😻 😽 💋 💏 💑 🫶 ❤‍🔥",  # love
    "حزن": "😢 😞 😔 😟 ☹ 🙁 🥺 😥 😿 🥀 💔 ❤‍🩹",  # sadness
    "بكاء": "😭",  # weeping
    "غضب": "😠 😡 🤬 😤 👿 💢 😾",  # anger
    "خوف": "😱 😨 🙀 👻",  # fear
    "قلق": "😰 😬 😓 🫨",  # worry
    "دهشة": "😮 😯 😲 😳 🤯 😵 😧 😦 🫢 ❗ ❕",  # surprise
    "اشمئزاز": "🤢 🤮 😖 💩",  # disgust
    "استياء": "😒 😣 🙎 👎 😫 😩",  # annoyance
    "ملل": "😑 😐 🥱 🙄 😶",  # boredom
    "خجل": "🙈 🫣 🤭",  # embarrassment
    "حيرة": "😕 🤔 🤷 😵‍💫 🫤 ❓ ❔",  # confusion
    "شك": "🤨 🧐",  # doubt
    "سخرية": "😏 🙃",  # irony
    "مزاح": "😜 😝 😛 🤪 😋",  # teasing
    "ارتياح": "😌 😮‍💨",  # relief
    "تعب": "😪 😴 🥵 💤",  # tiredness
    "إعجاب": "🤩 👏 👌 🔥 💯 🌟",  # admiration
    "موافقة": "👍 ✅ ✔",  # approval
    "قوة": "💪 👊 ✊",  # strength
    "ثقة": "😎 🤝",  # trust
    "تفاؤل": "🤞 🌈 🌞",  # optimism
    "دعاء": "🙏 🤲",  # prayer
    "فخر": "🏆 👑 🥇",  # pride
    "إحباط": "🤦",  # frustration
    "شر": "😈",  # malice
    "موت": "💀 ☠ ⚰",  # death
}


@cache
def _names(language: str) -> dict[str, str]:
    """Map emoji without variation selectors to their names; skin tones do not express emotion and are left out."""
    check_choice("the language of emoji names", language, LANGUAGES)
    emoji.config.load_language(language)
    names = {}
    # where the tables name the variants of an emoji differently, the fully qualified one (status 2) is used
    for sequence, data in sorted(emoji.EMOJI_DATA.items(), key=lambda item: item[1]["status"], reverse=True):
        if not set(_TONES) & set(sequence):
            name = unicodedata.normalize("NFKC", data[language]).replace("’", "'")
            names[sequence.translate(_WITHOUT_VARIANTS)] = _NOT_IN_WORDS.sub(" ", name).strip()
    return names


@cache
def _emotions(names_for_others: bool) -> dict[str, str]:
    names = _names("ar")
    words = dict(names) if names_for_others else dict.fromkeys(names, "")
    for word, row in _EMOTIONS.items():
        for sequence in row.split():
            # a person's gender changes the emoji but not the emotion
            words.update(dict.fromkeys((sequence, f"{sequence}\u200d♀", f"{sequence}\u200d♂"), word))
    return words


@cache
def _nothing() -> dict[str, str]:
    return dict.fromkeys(_names("en"), "")


def _replace(text: str, words: Mapping[str, str]) -> str:
    if text.isascii():
        return text

    def replacement(match: regex.Match[str]) -> str:
        sequence = match[0].translate(_WITHOUT_VARIANTS)
        if sequence in words or not sequence:
            return f" {words.get(sequence, '')} "
        known = [words[part] for part in sequence.split("\u200d") if part in words]
        return f" {' '.join(known)} " if known else match[0]

    return _EMOJI.sub(replacement, text)


def emoji_to_names(text: str, language: str = "en") -> str:
    """Replace emoji by the words of their CLDR short names, so that similar emoji share words (Hurtado et al., 2020).

    A joined emoji without a name is replaced by the names of its parts; skin tones are removed; a pictograph without a
    name (not an emoji, or newer than the tables) is kept.

    Args:
        text: Any text.
        language: One of :data:`LANGUAGES`: ``ar``, ``de``, ``en``, ``es``, ``fa``, ``fr``, ``id``, ``it``, ``ja``,
            ``ko``, ``pt``, ``ru``, ``tr``, ``zh``.

    Returns:
        The text, with spaces around the words.

    Raises:
        ValueError: No names are available in the language.

    Example:
        >>> emoji_to_names("ok👍🏽"), emoji_to_names("risa 😂", "es")
        ('ok thumbs up ', 'risa  cara llorando de risa ')
    """
    return _replace(text, _names(language))


def emoji_to_emotions(text: str, names_for_others: bool = True) -> str:
    """Replace emoji by Arabic words of emotion (joy, love, anger, ...), as in Alrasheedy et al. (2026).

    Args:
        text: Any text.
        names_for_others: Replace emoji without an emotion by their Arabic CLDR name; ``False``: remove them.

    Returns:
        The text, with spaces around the words.

    Example:
        >>> emoji_to_emotions("مبروك❤️🚗"), emoji_to_emotions("مبروك❤️🚗", names_for_others=False)
        ('مبروك حب  سيارة ', 'مبروك حب   ')
    """
    return _replace(text, _emotions(names_for_others))


def remove_emoji(text: str) -> str:
    """Replace emoji by spaces.

    Example:
        >>> remove_emoji("ok 👩‍👩‍👧 1 🇩🇿!")
        'ok    1   !'
    """
    return _replace(text, _nothing())
