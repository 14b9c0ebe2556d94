"""The embedded corpus: any number of English, Arabic or Chinese texts with emotions, from a seed, without files."""

from __future__ import annotations

import random
from difflib import get_close_matches
from typing import Any

import numpy as np
import torch
from scipy.special import ndtri

from mlemo.data.base import SPLITS, EmotionDataModule, Split
from mlemo.data.corpus import Corpus
from mlemo.data.synthetic_grammar import ARABIC, CHINESE, EMOJI, ENGLISH, Grammar
from mlemo.labels import LabelSpace

__all__ = ["SyntheticEmotions"]

GRAMMARS = {"english": ENGLISH, "arabic": ARABIC, "chinese": CHINESE}

#: Share of the rows with each label, in label order.
MARGINALS = {
    "joy": 0.40,
    "sadness": 0.27,
    "anger": 0.21,
    "love": 0.17,
    "fear": 0.13,
    "anticipation": 0.10,
    "disgust": 0.07,
    "surprise": 0.04,
}

#: Correlation of the latent normals behind two labels; 0 for pairs not named.
CORRELATIONS = {
    ("joy", "love"): 0.5,
    ("joy", "anticipation"): 0.3,
    ("joy", "sadness"): -0.5,
    ("joy", "anger"): -0.5,
    ("joy", "fear"): -0.4,
    ("joy", "disgust"): -0.4,
    ("sadness", "fear"): 0.5,
    ("sadness", "love"): -0.2,
    ("sadness", "anticipation"): -0.2,
    ("anger", "disgust"): 0.7,
    ("anger", "love"): -0.4,
    ("anger", "anticipation"): -0.2,
    ("love", "fear"): -0.2,
    ("love", "disgust"): -0.3,
    ("fear", "surprise"): 0.3,
}

GROUPS = (("joy", "love", "anticipation"), ("sadness", "anger", "fear", "disgust"))

# How hard the task is: the first two are what a bag of words cannot tell from an expressed emotion.
CONTRASTED = 0.06  #: share of the expressed labels that are contrasted with an absent one ("not sad but happy")
NEGATED = 0.12  #: share of the rows with a clause that denies an absent label ("I am not angry at all")
AMBIGUOUS = 0.15  #: share of the rows with a clause that decides no label ("I am crying")
NEUTRAL = 0.3  #: share of the rows with a clause without emotion; where other clauses are less than two, these fill up
EMOJI_RATE = 0.2  #: share of the rows with a label whose text ends in an emoji of one of its labels


class SyntheticEmotions(EmotionDataModule):
    """Sentences from a seeded grammar with eight emotions, long-tailed and correlated: the default corpus of mlemo.

    Label sets are drawn first, from a Gaussian copula with the marginals p and the correlations R of this file:
    z ~ N(0, R), y_c = [Φ(z_c) < p_c]. A row has 1.39 labels, 17 % of the rows have none; joy is in 40 % of the rows,
    surprise in 4 %. Joy and love meet 1.8 times as often as independent labels would, sadness and fear 2.2 times,
    anger and disgust 3.6 times, joy and sadness 0.4 times. Then a text is written that expresses just these emotions:
    a clause for each, in random order, among clauses that deny an absent emotion, go with several, or have none. So a
    text decides its labels, but its words alone do not: "rage" also occurs in "I feel delight but no rage".

    A row depends on ``generator_seed``, its split and its number only: a larger size appends rows and changes none, and
    row ``i`` has the same labels in every language.

    Args:
        language: "english", "arabic", "chinese", or a list of them to take in turn, row by row.
        size: Rows of the training split.
        val_size: Rows of the validation split.
        test_size: Rows of the test split.
        generator_seed: Seed of labels and texts; ``seed`` remains that of the order of batches.
        **kwargs: Settings of :class:`~mlemo.data.base.EmotionDataModule`, without ``data_dir``: there are no files.

    Raises:
        ValueError: An unknown language or none, a size below one, a negative seed, or a ``data_dir``.

    Example:
        >>> corpus = SyntheticEmotions(size=100).corpus("train")
        >>> corpus.ids[18], corpus.label_space.decode(corpus.labels[18])
        ('train-000018', ['anger'])
        >>> corpus.texts[18]
        'I feel no happiness but a lot of rage! My cousin drank a cup of tea after lunch 🤬'
    """

    def __init__(
        self,
        language: str | list[str] = "english",
        size: int = 8000,
        val_size: int = 500,
        test_size: int = 1000,
        generator_seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if self.data_dir is not None:
            raise ValueError(f"SyntheticEmotions reads no files; leave out data.data_dir, found {str(self.data_dir)!r}")
        self.languages = [language] if isinstance(language, str) else list(language)
        if not self.languages:
            raise ValueError(f"data.language names no language; expected some of {list(GRAMMARS)}")
        for name in self.languages:
            if name not in GRAMMARS:
                nearest = get_close_matches(str(name).lower(), GRAMMARS, n=1)
                hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
                raise ValueError(f"unknown data.language {name!r}; expected some of {list(GRAMMARS)}{hint}")
        self.sizes: dict[Split, int] = {"train": size, "val": val_size, "test": test_size}
        for key, value in (("size", size), ("val_size", val_size), ("test_size", test_size)):
            if value < 1:
                raise ValueError(f"data.{key} must be at least 1, found {value}")
        if generator_seed < 0:
            raise ValueError(f"data.generator_seed must be at least 0, found {generator_seed}")
        self.generator_seed = generator_seed

    @property
    def label_space(self) -> LabelSpace:
        """Eight emotions, from the most to the least frequent, with the pleasant and the unpleasant ones as groups."""
        return LabelSpace(tuple(MARGINALS), groups=GROUPS)

    def read(self, split: Split) -> Corpus:
        """One split, generated."""
        labels = _draw_labels(self.sizes[split], [self.generator_seed, SPLITS.index(split)])
        names = np.array(list(MARGINALS))
        texts = []
        for row, present in enumerate(labels):
            # each row has its own generator, so that a text depends on no other row
            rng = random.Random(f"{self.generator_seed} {split} {row}")
            grammar = GRAMMARS[self.languages[row % len(self.languages)]]
            texts.append(_write(grammar, names[present].tolist(), rng))
        return Corpus(
            label_space=self.label_space,
            labels=torch.from_numpy(labels).float(),
            ids=[f"{split}-{row:06d}" for row in range(len(texts))],
            texts=texts,
        )


def _draw_labels(rows: int, seed: list[int]) -> np.ndarray:
    """Label sets from the Gaussian copula, ``(rows, labels)`` bool; more rows begin with the same rows."""
    names = list(MARGINALS)
    correlation = np.eye(len(names))
    for (first, second), value in CORRELATIONS.items():
        pair = names.index(first), names.index(second)
        correlation[pair] = correlation[pair[::-1]] = value
    normals = np.random.default_rng(seed).standard_normal((rows, len(names)))
    return normals @ np.linalg.cholesky(correlation).T < ndtri(list(MARGINALS.values()))


def _write(grammar: Grammar, present: list[str], rng: random.Random) -> str:
    """A text that expresses the emotions ``present`` and no other."""
    absent = [label for label in MARGINALS if label not in present]
    clauses = [
        _express(grammar, label, _pick_absent(absent, rng) if absent and rng.random() < CONTRASTED else None, rng)
        for label in present
    ]
    if absent and rng.random() < NEGATED:
        clauses.append(_deny(grammar, _pick_absent(absent, rng), rng))
    if rng.random() < AMBIGUOUS:
        fitting = [clause for clause, labels in grammar.ambiguous.items() if labels.intersection(present)]
        clauses.append(rng.choice(fitting or list(grammar.ambiguous)))
    for _ in range(max(2 - len(clauses), rng.random() < NEUTRAL)):
        clauses.append(_fill(rng.choice(grammar.neutral), grammar, rng))
    rng.shuffle(clauses)

    text = _capitalise(rng.choice(grammar.openers) + clauses[0])
    for clause in clauses[1:]:
        joint = rng.choice(grammar.joints)
        text += joint + (_capitalise(clause) if joint[0] in ".!" else clause)
    text += rng.choice(grammar.endings)
    if present and rng.random() < EMOJI_RATE:
        text += grammar.blank + rng.choice(EMOJI[rng.choice(present)])
    return text


def _express(grammar: Grammar, label: str, other: str | None, rng: random.Random) -> str:
    """A clause that expresses ``label``, and denies ``other`` if one is given."""
    cues = grammar.cues[label]
    if other is None and rng.random() < 0.3:
        return _pick(cues.clauses, rng)
    kind = _pick_kind(rng)
    frames, word = grammar.frames[kind], _pick(cues.words[kind], rng)
    if other is None:
        return _fill(_pick(frames.plain, rng), grammar, rng, cue=word)
    denied = _pick(grammar.cues[other].words[kind], rng)
    return _fill(_pick(frames.contrasted, rng), grammar, rng, cue=word, other=denied)


def _deny(grammar: Grammar, label: str, rng: random.Random) -> str:
    """A clause that denies ``label``."""
    kind = _pick_kind(rng)
    word = _pick(grammar.cues[label].words[kind], rng)
    return _fill(_pick(grammar.frames[kind].negated, rng), grammar, rng, cue=word)


def _fill(frame: str, grammar: Grammar, rng: random.Random, **cues: str) -> str:
    return frame.format(**{slot: rng.choice(words) for slot, words in grammar.slots.items()}, **cues)


def _pick(entries: tuple[str, ...], rng: random.Random) -> str:
    # earlier entries more often, P(place < r) = √(r / n): words have a long tail as labels have
    return entries[int(len(entries) * rng.random() ** 2)]


def _pick_kind(rng: random.Random) -> str:
    return "noun" if rng.random() < 0.4 else "adjective"


def _pick_absent(absent: list[str], rng: random.Random) -> str:
    # in proportion to the marginals, so that every emotion is denied about as often, for each time it is expressed
    return rng.choices(absent, [MARGINALS[label] for label in absent])[0]


def _capitalise(clause: str) -> str:
    return clause[:1].upper() + clause[1:]
