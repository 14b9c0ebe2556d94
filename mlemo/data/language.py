"""The language of a corpus, by its scripts and its most frequent words; no model is needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import regex

__all__ = ["Language", "language_of"]

#: Frequent function words by language. Words that are in many of the lists say little; each list has others too.
WORDS = {
    "English": "the and is are was were you i my it of to not with have has that this they but for what when",
    "Spanish": "el la los las y es no que de en un una por con para pero mi me se muy más está como lo ya del",
    "Portuguese": "o os as e é não que de em um uma por com para mas meu minha me se muito mais está como do da ao",
    "French": "le la les et est ne pas que de en un une par avec pour mais je mon ma me se très plus il elle des du au",
    "Italian": "il la gli e è non che di in un una per con ma mio mia mi si molto più sono come lo della del anche",
    "German": "der die das und ist nicht ich ein eine mit für aber mein mich sich sehr auf zu den von wir sie es",
    "Dutch": "de het een en is niet ik van met voor maar mijn me zich zeer op te dat dit wij zij zijn was ook",
    "Swedish": "det en ett och är inte jag som med för men min mig sig mycket på att den vi de av har var till",
    "Polish": "i w nie na się to jest że z do ale mój mnie bardzo jak tak już co po ja są był ten dla",
    "Turkish": "bir ve bu çok ama için ben değil mi ne da de o var yok daha gibi kadar sonra her şey benim",
    "Indonesian": "yang dan di tidak ini itu saya dengan untuk tapi sangat dari ke ada aku sudah bisa akan juga kami",
    "Vietnamese": "và là không của tôi có được cho một những với này đã rất nhưng các người như trong đến",
}
VOCABULARIES = {name: frozenset(words.split()) for name, words in WORDS.items()}

#: Languages by their letters, and the share of all letters from which each applies, in the order in which they are
#: tried: Japanese texts hold Han characters too, and a few letters of their own tell Persian and Ukrainian from others.
SCRIPTS = {
    "Japanese": (regex.compile(r"[\p{Hiragana}\p{Katakana}]"), 0.1),
    "Korean": (regex.compile(r"\p{Hangul}"), 0.1),
    "Chinese": (regex.compile(r"\p{Han}"), 0.1),
    "Persian or Urdu": (regex.compile("[پچژگیک]"), 0.03),
    "Arabic": (regex.compile(r"\p{Arabic}"), 0.1),
    "Ukrainian": (regex.compile("[іїєґ]"), 0.03),
    "Russian or another one in Cyrillic": (regex.compile(r"\p{Cyrillic}"), 0.1),
    "Greek": (regex.compile(r"\p{Greek}"), 0.1),
    "Hebrew": (regex.compile(r"\p{Hebrew}"), 0.1),
    "Thai": (regex.compile(r"\p{Thai}"), 0.1),
    "Hindi or another one in Devanagari": (regex.compile(r"\p{Devanagari}"), 0.1),
}
LETTER, LATIN = regex.compile(r"\p{L}"), regex.compile(r"\p{Latin}")
MOST_TEXTS = 2000
FEW_WORDS = 200
CLEAR = 1.3  # times as many function words as the next language


@dataclass(frozen=True)
class Language:
    """What language a corpus is in, and how that was found.

    Args:
        name: Name of the language; ``None`` where none is found.
        certain: Whether the evidence is clear.
        evidence: What was counted, in words.
    """

    name: str | None
    certain: bool
    evidence: str


def language_of(texts: Sequence[str]) -> Language:
    """The language of most texts.

    In scripts of one language, or a few, it follows from the letters. In Latin script it is the language that has most
    of the words in its list of some 25 function words; twelve languages have one. Mixed corpora are not told apart.

    Args:
        texts: The corpus, of which up to 2,000 texts spread over it are looked at.

    Example:
        >>> language_of(["no me gusta que lleguen tarde", "muchas gracias por la ayuda"] * 60).name
        'Spanish'
        >>> language_of(["我今天很高兴"]).name
        'Chinese'
    """
    sample = "\n".join(texts[:: max(1, len(texts) // MOST_TEXTS)]).casefold()
    letters = len(LETTER.findall(sample))
    if not letters:
        return Language(None, False, "the texts have no letters")
    if len(LATIN.findall(sample)) < letters / 2:
        for name, (script, least) in SCRIPTS.items():
            share = len(script.findall(sample)) / letters
            if share >= least:
                return Language(name, " or " not in name, f"{share:.0%} of the letters are of its script")
        return Language(None, False, "a script that is not in the table")
    words = regex.findall(r"[\p{L}\p{M}]+", sample)
    counts = Counter({name: sum(word in known for word in words) for name, known in VOCABULARIES.items()})
    (best, most), (second, next_most) = counts.most_common(2)
    if not most:
        return Language(None, False, "no function word of the table occurs")
    certain = most >= CLEAR * next_most and len(words) >= FEW_WORDS
    return Language(
        best,
        certain,
        f"{most / len(words):.0%} of {len(words):,} words are in its list of function words; next: {second}, "
        f"{next_most / len(words):.0%}",
    )
