"""KimCNN against its formula by loops, and what padding may and may not do."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mlemo
from mlemo.cli import main
from mlemo.data import Corpus, TokenizedCorpus
from mlemo.models import KimCNN, Optimization
from mlemo.nn.encoder import FromScratch
from mlemo.nn.words import WordVectors
from mlemo.runs.predictions import read_predictions
from mlemo.text import Tweets

Maker = Callable[..., Any]
ROWS = [5, 0, 22, 13]


def cnn(corpus: Corpus, encoder: Any = None, **settings: Any) -> KimCNN:
    torch.manual_seed(0)
    encoder = WordVectors(width=6) if encoder is None else encoder
    model = KimCNN(corpus.label_space, encoder, **{"filters": 3, **settings})
    model.build(lambda: corpus.texts)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):  # anything but the identity, and falling for some filters
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return model


def batch_of(model: KimCNN, corpus: Corpus, rows: list[int] = ROWS) -> Any:
    return TokenizedCorpus(corpus, model.data_input).__getitems__(rows)


def lengths(model: KimCNN, texts: list[str]) -> list[int]:
    return [len(ids) for ids in model.tokenizer(texts)["input_ids"]]


# the network ----------------------------------------------------------------------------------------------------


def norm_by_hand(norm: nn.BatchNorm1d, states: Tensor) -> Tensor:
    mean, var, weight, bias = (t.double() for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias))
    return (states - mean) / (var + norm.eps).sqrt() * weight + bias


def logits_by_hand(model: KimCNN, states: Tensor) -> Tensor:
    """Of one text, ``(n, d)`` in double precision, window by window."""
    states = norm_by_hand(model.input_norm, states)
    places, width = states.shape
    maps = []
    for height, convolution in zip(model.heights, model.convolutions):
        before = (height - 1) // 2  # "same": as many zeros in all as the window is longer than one word
        padded = torch.zeros(places + height - 1, width, dtype=torch.double)
        padded[before : before + places] = states
        kernel = convolution.weight.double()  # (filters, d, height)
        maps.append(
            torch.stack(
                [
                    sum(kernel[:, :, offset] @ padded[place + offset] for offset in range(height))
                    for place in range(places)
                ]
            )
        )
    features = norm_by_hand(model.norm, torch.cat(maps, 1)).clamp(min=0).max(0).values
    return model.head.weight.double() @ features + model.head.bias.double()


@pytest.mark.parametrize("heights", [(1, 2, 3, 4, 5, 6), (4, 1)])
def test_logits_are_those_of_the_formula_with_padding_seen(corpus: Corpus, heights: tuple[int, ...]) -> None:
    model = cnn(corpus, heights=heights).eval()
    batch = batch_of(model, corpus)
    with torch.no_grad():
        states = model.encode(batch)
        assert not states[batch["attention_mask"] == 0].any()
        assert (batch["attention_mask"] == 0).any()
        expected = torch.stack([logits_by_hand(model, text.double()) for text in states])
        torch.testing.assert_close(model(batch).double(), expected, atol=1e-5, rtol=1e-5)


def test_over_another_encoder_padding_is_left_out(corpus: Corpus, source: FromScratch) -> None:
    model = cnn(corpus, source).eval()
    batch = batch_of(model, corpus)
    with torch.no_grad():
        states = model.encode(batch)
        assert states[batch["attention_mask"] == 0].any()
        texts = [text[mask.bool()].double() for text, mask in zip(states, batch["attention_mask"])]
        expected = torch.stack([logits_by_hand(model, text) for text in texts])
        assert len({len(text) for text in texts}) > 1
        torch.testing.assert_close(model(batch).double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("words", [True, False])
def test_a_texts_logits_are_the_same_alone_and_in_any_batch(corpus: Corpus, source: FromScratch, words: bool) -> None:
    model = cnn(corpus, None if words else source).eval()
    with torch.no_grad():
        together = model(batch_of(model, corpus, list(range(len(corpus)))))
        for row in range(len(corpus)):
            alone = model(batch_of(model, corpus, [row]))
            torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("words", [True, False])
def test_training_normalises_over_the_padding_of_word_vectors_and_over_no_other(
    corpus: Corpus, source: FromScratch, words: bool
) -> None:
    model = cnn(corpus, None if words else source)
    model.encoder.eval()  # dropout
    batch = batch_of(model, corpus)
    present = batch["attention_mask"].bool()
    seen = torch.ones_like(present) if words else present
    before = model.input_norm.running_mean.clone()
    with torch.no_grad():
        states = model.encode(batch)[seen]
        model(batch)
    expected = 0.9 * before + 0.1 * states.mean(0)
    torch.testing.assert_close(model.input_norm.running_mean, expected)
    assert not present.all()
    assert model.norm.num_batches_tracked == 1


def test_every_parameter_is_trained_and_frozen_vectors_are_not(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "vectors.txt").write_text("the 1 2 3\nsea 3 2 1\nfear 0 0 1\n")
    for file in (None, tmp_path / "vectors.txt"):
        model = cnn(corpus, WordVectors(file, width=4), dropout=0.1)
        model(batch_of(model, corpus, list(range(len(corpus))))).square().sum().backward()
        without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
        assert without == (set() if file is None else {"encoder.vectors.weight"})


def test_the_network_has_the_sizes_of_the_paper(corpus: Corpus) -> None:
    model = KimCNN(corpus.label_space)
    model.build(lambda: corpus.texts)
    assert [tuple(c.weight.shape) for c in model.convolutions] == [(128, 300, height) for height in range(1, 7)]
    assert tuple(model.head.weight.shape) == (5, 768)
    assert (model.input_norm.num_features, model.norm.num_features) == (300, 768)
    assert model.dropout.p == 0.0


def test_dropout_stands_before_the_head(corpus: Corpus) -> None:
    model = cnn(corpus, dropout=1.0)
    torch.testing.assert_close(model(batch_of(model, corpus)), model.head.bias.expand(len(ROWS), -1))


def test_bf16_gives_about_the_same(corpus: Corpus, source: FromScratch) -> None:
    for encoder in (None, source):
        model = cnn(corpus, encoder).eval()
        batch = batch_of(model, corpus)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            mixed = model(batch)
        with torch.no_grad():
            torch.testing.assert_close(mixed.float(), model(batch), atol=0.15, rtol=0.05)


@pytest.mark.parametrize("settings", [{"heights": ()}, {"heights": (0, 1)}, {"filters": 0}])
def test_sizes_below_one_are_refused(corpus: Corpus, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"model\.heights and model\.filters must be at least 1, found"):
        KimCNN(corpus.label_space, **settings)


# the length -----------------------------------------------------------------------------------------------------


def test_the_length_is_the_mean_of_average_and_greatest_length(corpus: Corpus) -> None:
    model = cnn(corpus)
    counts = lengths(model, corpus.texts)
    expected = math.ceil((sum(counts) / len(counts) + max(counts)) / 2)
    assert min(counts) < expected < max(counts)
    assert (model.data_input.max_length, model.data_input.fixed_length) == (expected, True)
    rows = [counts.index(max(counts)), counts.index(min(counts))]
    batch = batch_of(model, corpus, rows)
    assert batch["input_ids"].shape == (2, expected)
    longest, shortest = (model.tokenizer(corpus.texts[row])["input_ids"] for row in rows)
    assert batch["input_ids"][0].tolist() == longest[:expected], "cut at the end"
    assert batch["input_ids"][1].tolist() == [0] * (expected - len(shortest)) + shortest, "padded at the start"


def test_the_length_is_that_of_the_cleaned_texts() -> None:
    texts = ["one two " * 10, "😂 " * 10]
    space = ["joy", "fear"]
    for cleaning, longest, mean in ((None, 20, 15), (Tweets(), 50, 35), (Tweets(emoji="remove"), 20, 10)):
        model = KimCNN(space, WordVectors(width=4), filters=2, cleaning=cleaning)
        model.build(lambda: texts)
        assert model.data_input.max_length == math.ceil((longest + mean) / 2)


def test_a_number_overrides_the_length_and_short_texts_have_room(corpus: Corpus) -> None:
    assert cnn(corpus, max_length=33).data_input.max_length == 33
    assert cnn(corpus, max_length=1000).data_input.max_length == 1000
    model = KimCNN(corpus.label_space, WordVectors(width=4), filters=2)
    model.build(lambda: ["a", "a b"])
    assert model.data_input.max_length == 8
    assert batch_of(model, corpus)["input_ids"].shape == (len(ROWS), 8)


def test_over_another_encoder_the_length_has_room_for_special_tokens_and_for_no_more_than_positions(
    corpus: Corpus, source: FromScratch
) -> None:
    model = cnn(corpus, source)
    counts = [len(ids) - 2 for ids in model.tokenizer(corpus.texts)["input_ids"]]
    expected = math.ceil((sum(counts) / len(counts) + max(counts)) / 2) + 2
    assert (model.data_input.max_length, model.data_input.fixed_length) == (expected, False)
    short = FromScratch(layers=1, width=32, heads=2, vocabulary=150, max_positions=expected - 1)
    assert cnn(corpus, short).data_input.max_length == expected - 1


def test_without_texts_a_length_is_asked_for(corpus: Corpus, pretrained: Path) -> None:
    message = r"the length is computed from the training texts, and there are none: set model\.max_length"
    with pytest.raises(ValueError, match=message):
        KimCNN(corpus.label_space, str(pretrained)).build()
    model = KimCNN(corpus.label_space, str(pretrained), max_length=20)
    model.build()
    assert model.data_input.max_length == 20


# its life -------------------------------------------------------------------------------------------------------


def test_a_checkpoint_stands_alone(corpus: Corpus, trainer: Maker, tmp_path: Path) -> None:
    model = cnn(corpus, heights=(1, 2, 3, 4, 5, 6), filters=128, cleaning=Tweets(mentions="")).eval()
    run = trainer()
    run.strategy.connect(model)
    run.save_checkpoint(tmp_path / "last.ckpt")
    loaded = mlemo.load(tmp_path)
    assert loaded.model.data_input.max_length == model.data_input.max_length
    corpus.texts[0] = "fear of what may come " * 20
    with torch.no_grad():
        expected = model(batch_of(model, corpus)).sigmoid()
    texts = [corpus.texts[row] for row in ROWS]
    torch.testing.assert_close(loaded.probabilities(texts), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(loaded.probabilities([f"@ana {text}" for text in texts]), expected, atol=1e-5, rtol=0)


def test_it_learns_the_tiny_corpus_by_heart(data: Maker, trainer: Maker) -> None:
    module = data(batch_size=4)
    torch.manual_seed(0)
    model = KimCNN(
        module.label_space,
        WordVectors(width=16, min_count=1),
        filters=8,
        optimization=Optimization(optimizer="rmsprop", learning_rate=3e-3, beta2=0.9, warmup=0.0, weight_decay=0.0),
    )
    trainer(max_epochs=15).fit(model, datamodule=module)
    corpus = module.corpus("train")
    with torch.no_grad():
        decided = model.eval()(batch_of(model, corpus, list(range(len(corpus))))) > 0
    assert ((decided == corpus.labels.bool()) | ~corpus.mask).float().mean() > 0.95


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Vectors and a lexicon for words of the synthetic corpus."""
    vectors, lexicon = tmp_path / "vectors.txt", tmp_path / "lexicon.tsv"
    vectors.write_text(
        "".join(f"{word} {number} -{number} 0.5\n" for number, word in enumerate(["I", "the", "was", "a", "so"]))
    )
    lexicon.write_text("word\tjoy\tanger\nhappy\t1\t0\nfurious\t0\t1\n")
    return [f"--model.encoder.file={vectors}", f"--model.encoder.lexicons=[{{path: {lexicon}}}]"]


def test_a_whole_run_and_its_checkpoint_without_the_files(files: list[str], tmp_path: Path) -> None:
    cli: Any = main(
        [
            *["fit", "--data=SyntheticEmotions", "--data.size=40", "--data.val_size=16", "--data.test_size=16"],
            *["--model=KimCNN", "--model.filters=8", "--model.cleaning=Tweets", "--model.cleaning.urls=url"],
            *["--model.encoder=WordVectors", *files],
            *["--model.optimization.optimizer=rmsprop", "--model.optimization.learning_rate=1e-3"],
            *["--trainer.max_epochs=1", "--trainer.precision=32-true", "--trainer.accelerator=cpu"],
            *[f"--trainer.default_root_dir={tmp_path}", f"--trainer.logger.init_args.save_dir={tmp_path}"],
        ]
    )
    assert cli.model.encoder.config.hidden_size == 3 + 2
    folder = Path(cli.trainer.log_dir)
    test = cli.datamodule.corpus("test")
    expected = read_predictions(folder / "predictions_test.csv").probabilities
    for file in tmp_path.glob("*.t*"):
        file.unlink()
    found = mlemo.load(folder).probabilities(test.texts)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert (expected.std(0) > 0).all()
    place = f"--trainer.logger.save_dir={tmp_path}"
    again: Any = main(["test", f"--ckpt_path={folder / 'checkpoints' / 'best.ckpt'}", place])
    results = [json.loads((path / "results_test.json").read_text()) for path in (folder, Path(again.trainer.log_dir))]
    assert folder != Path(again.trainer.log_dir)
    assert results[0] == results[1]


def test_the_published_settings_are_those_of_the_experiments() -> None:
    from mlemo.training import instantiate

    configs = Path(__file__).parents[2] / "configs" / "experiment"
    for language, cleaning in {"english": Tweets(), "spanish": Tweets(language="es", accents=True)}.items():
        words = ["--trainer.accelerator=cpu", "--trainer.logger=false"]
        built = instantiate(["--config", str(configs / f"kim_cnn_semeval2018_{language}.yaml"), *words])
        model = built.model
        assert (model.heights, model.filters, model.length) == ((1, 2, 3, 4, 5, 6), 128, None)
        assert model.optimization.optimizer == "rmsprop"
        assert (built.datamodule.batch_size, built.trainer.max_epochs) == (16, 30)
        assert model.cleaning == cleaning
