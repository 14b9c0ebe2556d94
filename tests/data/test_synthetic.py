import re
import string

import pytest
import torch
from scipy.stats import multivariate_normal, norm
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.multiclass import OneVsRestClassifier

from mlemo.data.synthetic import CORRELATIONS, GRAMMARS, MARGINALS, SyntheticEmotions
from mlemo.data.synthetic_grammar import EMOJI

LANGUAGES = ["english", "arabic", "chinese"]

# How each language negates, written down apart from the frames: a negation takes back the first cue that follows it
# within a few words. "CUE" stands for a cue.
NEGATIONS = {
    "english": (
        r"\b(?:not|no|no longer|never(?! been so)|anything but|nobody(?! is as)|far from|used to be|rather than"
        r"|instead of|without any|free of)\b(?: \w+){0,3}? CUE|all the CUE is gone"
    ),
    "arabic": r"(?<!\w)و?(?:غير|لا(?! أشعر إلا)(?! أحد CUE مثلي)|لم|ليست|ليس|لست|دون|زال)(?: \w+){0,5}? CUE",
    "chinese": r"(?:不(?!如)|没(?!有人比)(?!这么)|毫无|(?<!不如)说我)[^，。！；…]{0,4}?CUE|CUE早就消失了",
}
# Around a cue: whole words in English; article, prepositions and the feminine ending in Arabic; nothing in Chinese.
SURROUNDINGS = {
    "english": (r"\b", r"\b"),
    "arabic": (r"(?<!\w)و?(?:بال|ال|ب)?", r"ة?(?!\w)"),
    "chinese": ("", ""),
}


def expressed(text: str, language: str) -> set[str]:
    """The emotions of a text, by reading it: cues that are not negated. Longer cues win ("mad about you", "mad")."""
    grammar = GRAMMARS[language]
    before, after = SURROUNDINGS[language]
    text = text.lower()
    found = set()
    for label, cues in grammar.cues.items():
        for clause in cues.clauses:
            if clause.lower() in text:
                found.add(label)
                text = text.replace(clause.lower(), "")
    for clause in grammar.ambiguous:
        text = text.replace(clause.lower(), "")
    owners = {word: label for label, cues in grammar.cues.items() for words in cues.words.values() for word in words}
    words = "|".join(sorted(owners, key=len, reverse=True))
    cue = f"{before}(?:{words}){after}"
    text = re.sub(NEGATIONS[language].replace("CUE", cue), "", text)
    return found | {owners[word] for word in re.findall(f"{before}({words}){after}", text)}


def decoded(corpus):
    return [set(corpus.label_space.decode(row)) for row in corpus.labels.bool().tolist()]


@pytest.fixture(scope="module")
def large():
    return SyntheticEmotions(size=20_000).corpus("train")


# determinism ------------------------------------------------------------------------------------------------


def test_rows_depend_on_seed_split_and_number_only():
    small, large = (
        SyntheticEmotions(size=50, test_size=7),
        SyntheticEmotions(size=3000, val_size=9, batch_size=3, seed=1),
    )
    few, many = small.corpus("train"), large.corpus("train").select(range(50))
    assert few.texts == many.texts
    assert few.ids == many.ids
    torch.testing.assert_close(few.labels, many.labels, rtol=0, atol=0)
    assert small.corpus("test").texts == large.corpus("test").texts[:7]

    other = SyntheticEmotions(size=50, generator_seed=1).corpus("train")
    assert len(set(other.texts) & set(few.texts)) <= 1
    assert not torch.equal(other.labels, few.labels)


def test_splits_differ_and_are_numbered():
    data = SyntheticEmotions(size=60, val_size=60, test_size=60)
    train, val, test = (data.corpus(split) for split in ("train", "val", "test"))
    assert not torch.equal(train.labels, val.labels)
    assert not torch.equal(val.labels, test.labels)
    assert (train.ids[17], val.ids[0], test.ids[59]) == ("train-000017", "val-000000", "test-000059")
    assert train.mask.all()


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_are_rarely_repeated(language):
    texts = SyntheticEmotions(language).corpus("all").texts
    assert len(texts) == 9500
    assert len(texts) - len(set(texts)) < 10


def test_a_mixture_takes_languages_in_turn_with_the_same_labels():
    mixed = SyntheticEmotions(LANGUAGES, size=12).corpus("train")
    single = [SyntheticEmotions(language, size=12).corpus("train") for language in LANGUAGES]
    assert mixed.texts == [single[row % 3].texts[row] for row in range(12)]
    for corpus in single:
        torch.testing.assert_close(mixed.labels, corpus.labels, rtol=0, atol=0)


# labels -----------------------------------------------------------------------------------------------------


def test_label_space():
    space = SyntheticEmotions().label_space
    assert space.names == ("joy", "sadness", "anger", "love", "fear", "anticipation", "disgust", "surprise")
    assert space.groups == (("joy", "love", "anticipation"), ("sadness", "anger", "fear", "disgust"))


def test_marginals_and_pairs_follow_the_copula(large):
    labels = large.labels.double()
    rows = len(labels)
    marginals = torch.tensor(list(MARGINALS.values()), dtype=torch.float64)
    error = (marginals * (1 - marginals) / rows).sqrt()
    assert ((labels.mean(0) - marginals).abs() < 4 * error).all()

    names, together = list(MARGINALS), (labels.T @ labels) / rows
    for first in range(len(names)):
        for second in range(first + 1, len(names)):
            pair = (names[first], names[second])
            rho = CORRELATIONS.get(pair, CORRELATIONS.get(pair[::-1], 0.0))
            bounds = norm.ppf([MARGINALS[name] for name in pair])
            expected = multivariate_normal.cdf(bounds, cov=[[1, rho], [rho, 1]])
            error = (expected * (1 - expected) / rows) ** 0.5
            assert abs(together[first, second].item() - expected) < 4.5 * error + 1e-5, pair


def test_numbers_of_the_docstring(large):
    labels = large.labels.double()
    space, marginals = large.label_space, labels.mean(0)
    assert marginals.tolist() == sorted(marginals.tolist(), reverse=True)
    assert labels.sum(1).mean().item() == pytest.approx(1.39, abs=0.02)
    assert (labels.sum(1) == 0).double().mean().item() == pytest.approx(0.17, abs=0.01)
    for first, second, lift in (
        ("joy", "love", 1.8),
        ("sadness", "fear", 2.2),
        ("anger", "disgust", 3.6),
        ("joy", "sadness", 0.4),
    ):
        a, b = space.index(first), space.index(second)
        observed = (labels[:, a] * labels[:, b]).mean() / (marginals[a] * marginals[b])
        assert observed.item() == pytest.approx(lift, rel=0.05, abs=0.05)


@pytest.mark.parametrize("seed", range(3))
def test_rare_labels_are_in_the_test_split(seed):
    assert SyntheticEmotions(generator_seed=seed).corpus("test").labels.sum(0).min() >= 25


# texts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_expresses_its_labels_and_no_other(language):
    corpus = SyntheticEmotions(language, size=3000).corpus("train")
    for text, labels in zip(corpus.texts, decoded(corpus)):
        assert expressed(text, language) == labels, text


@pytest.mark.parametrize("language", LANGUAGES)
def test_negation_is_needed(language):
    corpus = SyntheticEmotions(language, size=2000).corpus("train")
    before, after = SURROUNDINGS[language]
    misled = 0
    for text, labels in zip(corpus.texts, decoded(corpus)):
        absent = [word for label in MARGINALS if label not in labels for word in _words(language, label)]
        misled += bool(re.search(f"{before}(?:{'|'.join(absent)}){after}", text.lower()))
    assert 0.16 < misled / 2000 < 0.24  # 12 % deny an emotion, 6 % of 1.39 labels stand against another


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_emotion_has_many_cues_of_its_own(language):
    owners: dict[str, set[str]] = {}
    for label, cues in GRAMMARS[language].cues.items():
        own = set(_words(language, label)) | set(cues.clauses)
        assert len(own) >= 12
        for cue in own:
            owners.setdefault(cue, set()).add(label)
    assert list(GRAMMARS[language].cues) == list(MARGINALS)
    assert {cue: labels for cue, labels in owners.items() if len(labels) > 1} == {}


def _words(language, label):
    return [word for words in GRAMMARS[language].cues[label].words.values() for word in words]


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_emoji_is_one_of_a_present_emotion(language):
    corpus = SyntheticEmotions(language, size=1000).corpus("train")
    owners = {emoji: label for label, several in EMOJI.items() for emoji in several}
    assert len(owners) == sum(map(len, EMOJI.values()))
    seen = 0
    for text, labels in zip(corpus.texts, decoded(corpus)):
        for character in set(text) & set(owners):
            assert owners[character] in labels, text
            seen += 1
    assert 100 < seen < 250


@pytest.mark.parametrize(
    ("language", "letters"),
    [("english", "A-Za-z"), ("arabic", "\u0621-\u064a"), ("chinese", "\u4e00-\u9fff")],
)
def test_texts_are_in_the_script_of_their_language(language, letters):
    marks = {"english": string.punctuation + " ", "arabic": ".!،؛؟ ", "chinese": "。，！；…"}[language]
    allowed = re.compile(f"[{letters}{re.escape(marks)}{''.join(''.join(e) for e in EMOJI.values())}]+")
    for text in SyntheticEmotions(language, size=1000).corpus("train").texts:
        assert allowed.fullmatch(text), text
        assert "  " not in text
        assert not re.search(r"[.!] [a-z]", text), text
        assert "{" not in text
        assert re.match(f"[{letters}]", text), text


# difficulty -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_tell_much_but_not_all(language):
    data = SyntheticEmotions(language, size=2000)
    train, test = data.corpus("train"), data.corpus("test")
    words = TfidfVectorizer(analyzer="char" if language == "chinese" else "word", sublinear_tf=True)
    model = OneVsRestClassifier(LogisticRegression(C=20, max_iter=300))
    model.fit(words.fit_transform(train.texts), train.labels.numpy())
    score = f1_score(test.labels.numpy(), model.predict(words.transform(test.texts)), average="macro")
    assert 0.75 < score < 0.93


# failures ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"language": "englisch"}, r"unknown data\.language 'englisch'; expected some of .*did you mean 'english'\?"),
        ({"language": ["arabic", "Chinese"]}, r"unknown data\.language 'Chinese'.*did you mean 'chinese'\?"),
        ({"language": "x"}, r"unknown data\.language 'x'; expected some of \['english', 'arabic', 'chinese'\]$"),
        ({"language": []}, r"data\.language names no language; expected some of"),
        ({"size": 0}, r"data\.size must be at least 1, found 0"),
        ({"val_size": -3}, r"data\.val_size must be at least 1, found -3"),
        ({"test_size": 0}, r"data\.test_size must be at least 1, found 0"),
        ({"generator_seed": -1}, r"data\.generator_seed must be at least 0, found -1"),
        ({"batch_size": 0}, r"data\.batch_size must be at least 1, found 0"),
        ({"data_dir": "corpora"}, r"SyntheticEmotions reads no files; leave out data\.data_dir, found 'corpora'"),
    ],
)
def test_faults_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        SyntheticEmotions(**settings)
