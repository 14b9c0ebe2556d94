"""At scale paper the studies have the settings that the papers print."""

from __future__ import annotations

import pytest

from mlemo.studies.study_file import DEFINITIONS, load_study

FILES = {  # variables without a default
    "data_dir": "d", "semeval_dir": "d", "goemotions_dir": "d", "nlpcc_dir": "d", "rencecps_dir": "d",
    "encoder": "e", "english": "e", "chinese": "e", "larger_encoder": "e", "pooling": "cls",
}  # fmt: skip
HU_TABLE_2 = {
    "--data.batch_size": "16", "--early_stopping.patience": "5", "--model.optimization.learning_rate": "3e-5",
    "--model.optimization.loss_learning_rate": "0.01", "--model.optimization.weight_decay": "0.01",
    "--trainer.max_epochs": "100", "--model.optimization.warmup": "0.1", "--model.optimization.beta1": "0.9",
    "--model.optimization.beta2": "0.98", "--model.optimization.epsilon": "1e-8", "--model.max_length": "512",
    "--model.optimization.loss_momentum": "0.9", "--seed_everything": "42",
}  # fmt: skip
HURTADO_SECTION_4 = {
    "--model.heights": "[1,2,3,4,5,6]", "--model.filters": "128", "--model.optimization.optimizer": "rmsprop",
    "--trainer.max_epochs": "30", "--model.optimization.warmup": "0.0", "--thresholds.rule.threshold": "0.5",
}  # fmt: skip
BENEDICT_TABLE_2 = {"--data.batch_size": "256", "--trainer.max_epochs": "100"}
ZHOU_CODE = {"--data.batch_size": "128", "--trainer.max_epochs": "101", "--early_stopping.patience": "101"}


def settings(name: str) -> list[tuple[str, int, dict[str, str]]]:
    """Labels, seed and last value of each word of all runs at scale paper."""
    study = load_study(name)
    text = study.path.read_text(encoding="utf-8")
    given = {key: value for key, value in FILES.items() if f"${{{key}}}" in text}
    used = {}
    for key, value in given.items():
        try:
            study.expand("paper", used | {key: value})
        except ValueError as error:
            if "no run uses" in str(error):
                continue  # at other scales only
        used[key] = value
    runs = study.expand("paper", used)
    return [(run.name, run.seed, dict(word.partition("=")[::2] for word in run.words)) for run in runs]


def check(name: str, wanted: dict[str, str]) -> list[tuple[str, int, dict[str, str]]]:
    runs = settings(name)
    assert runs
    for run, _, words in runs:
        assert {key: words.get(key) for key in wanted} == wanted, run
    return runs


@pytest.mark.parametrize("name", sorted(file.stem for file in DEFINITIONS.glob("wdl-*.yaml")))
def test_bert_wdl(name: str) -> None:
    # costs are measured over one epoch, for which no stopping is set
    of_cost = {"--trainer.max_epochs": "1", "--early_stopping.patience": None} if name == "wdl-cost" else {}
    check(name, HU_TABLE_2 | of_cost)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "batches"), [("soft-losses", {"16"}), ("soft-batch", {"16", "32", "64", "128"})])
def test_metric_losses(name: str, batches: set[str]) -> None:
    runs = check(name, HURTADO_SECTION_4)
    assert {words["--data.batch_size"] for _, _, words in runs} == batches
    assert {seed for _, seed, _ in runs} == {42, 43, 44, 45, 46}


def test_sigmoidf1() -> None:
    runs = check("sigmoidf1", BENEDICT_TABLE_2)
    assert len({seed for _, seed, _ in runs}) == 5
    rules = load_study("sigmoidf1").rules
    assert [rules[name].arguments["threshold"] for name in ("0.5", "0.05")] == [0.5, 0.05]


@pytest.mark.parametrize("name", ["batch-selection", "batch-selection-chain", "batch-selection-parameters"])
def test_batch_selection(name: str) -> None:
    runs = [
        run for run in settings(name) if name != "batch-selection-parameters" or run[2]["--data.batch_size"] == "128"
    ]
    for run, _, words in runs:
        assert {key: words.get(key) for key in ZHOU_CODE} == ZHOU_CODE, run
    assert {words["--data.fold"] for _, _, words in runs} == {"0", "1", "2", "3", "4"}
