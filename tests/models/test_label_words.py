from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import mlemo
from mlemo.data import SemEval2018
from mlemo.labels import LabelSpace
from mlemo.models import BertWDL
from mlemo.models.label_words import prompt_words, supports_words
from mlemo.nn.encoder import FromScratch

SPACE = SemEval2018("arabic").label_space
ENGLISH = ["the quick brown fox is full of joy and anger and fear", *SPACE.names] * 3
ARABIC = [" ".join(SPACE.words), "هذا يوم جميل"] * 3
LETTERS = [" ".join(character for word in SPACE.words for character in word)]


def tokenizer(texts: list[str]) -> Any:
    return FromScratch(layers=1, width=16, heads=2, vocabulary=400).tokenizer(lambda: texts)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (ENGLISH, False),  # the words are unknown
        (ENGLISH + LETTERS, False),  # the words fall into letters
        (ARABIC, True),
        (ARABIC + ENGLISH, True),
    ],
)
def test_a_tokenizer_reads_the_words_of_the_language_that_it_was_made_for(texts: list[str], expected: bool) -> None:
    made = tokenizer(texts)
    assert supports_words(made, SPACE.words, SPACE.names) is expected
    assert prompt_words("auto", SPACE, made) == (SPACE.words if expected else None)


def test_the_setting_decides_otherwise() -> None:
    made = tokenizer(ARABIC)
    assert prompt_words("names", SPACE, made) is None
    assert prompt_words(None, SPACE, made) is None  # checkpoints of 0.1.0
    assert prompt_words("corpus", SPACE, tokenizer(ENGLISH)) == SPACE.words
    assert prompt_words(["a", "b"], SPACE, made) == ("a", "b")
    assert prompt_words("auto", LabelSpace(("joy", "fear")), made) is None
    with pytest.raises(ValueError, match="no words for its labels"):
        prompt_words("corpus", LabelSpace(("joy", "fear")), made)


def test_the_words_stand_in_the_prompt_and_travel_in_the_label_space(tmp_path: Path) -> None:
    words = ("wunderbar", "schrecklich")
    space = LabelSpace(("joy", "fear"), words=words)
    assert LabelSpace.of(space.as_dict()) == space
    model = BertWDL(space, FromScratch(layers=1, width=16, heads=2, vocabulary=200))
    model.build(lambda: ["wunderbar schrecklich wunderbar", "schrecklich joy"])
    assert model.data_input.label_words == words
    other = BertWDL(space, FromScratch(layers=1, width=16, heads=2, vocabulary=200), label_words="names")
    other.build(lambda: ["wunderbar schrecklich wunderbar", "schrecklich joy"])
    assert other.data_input.label_words is None
    with pytest.raises(ValueError, match="3 words for 2 labels"):
        LabelSpace(("joy", "fear"), words=("a", "b", "c"))


def test_a_whole_run_on_arabic_uses_arabic_words_and_so_does_its_classifier(tmp_path: Path) -> None:
    from mlemo.cli import main

    fixtures = Path(__file__).parents[1] / "data" / "semeval2018"
    words = ["fit", "--data=SemEval2018", "--data.language=arabic", f"--data.data_dir={fixtures}", "--model=BertWDL"]
    words += ["--model.encoder=FromScratch", "--model.encoder.layers=1", "--model.encoder.width=16"]
    words += ["--model.encoder.heads=2", "--trainer.max_epochs=1", "--trainer.accelerator=cpu"]
    words += ["--trainer.precision=32-true", f"--trainer.logger.init_args.save_dir={tmp_path}"]
    cli = main([*words, "--model.label_words=corpus"])
    assert cli.model.data_input.label_words == SPACE.words
    classifier = mlemo.load(cli.trainer.log_dir)
    assert classifier.model.data_input.label_words == SPACE.words
    assert classifier.labels == SPACE.names
