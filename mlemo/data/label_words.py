"""Names of the emotions in the languages of the corpora, for prompts that name the labels."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["label_words"]

# The usual noun of each emotion, chosen by the authors of mlemo from bilingual dictionaries. The Chinese words of the
# eight emotions of Ren-CECps are those of Quan and Ren (2010), who give both languages. No paper of a system prints
# label words in another language than English.
WORDS = {
    "arabic": {
        "acceptance": "قبول", "anger": "غضب", "anticipation": "ترقب", "disgust": "اشمئزاز", "fear": "خوف", "joy": "فرح",
        "love": "حب", "neutral": "محايد", "optimism": "تفاؤل", "pessimism": "تشاؤم", "sadness": "حزن",
        "surprise": "مفاجأة", "trust": "ثقة",
    },
    "chinese": {
        "anger": "愤怒", "anxiety": "焦虑", "disgust": "厌恶", "expect": "期待", "fear": "恐惧", "happiness": "高兴",
        "hate": "憎恨", "joy": "喜悦", "love": "喜爱", "sadness": "悲伤", "sorrow": "悲伤", "surprise": "惊讶",
    },
    "spanish": {
        "anger": "ira", "anticipation": "anticipación", "disgust": "asco", "fear": "miedo", "joy": "alegría",
        "love": "amor", "optimism": "optimismo", "pessimism": "pesimismo", "sadness": "tristeza",
        "surprise": "sorpresa", "trust": "confianza",
    },
}  # fmt: skip


def label_words(language: str, names: Sequence[str]) -> tuple[str, ...] | None:
    """The words of a language for labels.

    Args:
        language: ``arabic``, ``chinese`` or ``spanish``; any other has no words here.
        names: English names of the labels.

    Returns:
        A word per label, or ``None`` where the language or the word of a label is missing.

    Example:
        >>> label_words("spanish", ["joy", "fear"])
        ('alegría', 'miedo')
    """
    words = WORDS.get(language, {})
    return tuple(words[name] for name in names) if all(name in words for name in names) else None
