"""What all corpora share; the corpora's own tests are beside this one."""

import logging
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.trainer.states import TrainerFn

from mlemo.batch import TextInput
from mlemo.data import Corpus, EmotionDataModule, Split
from mlemo.labels import LabelSpace

SPACE = LabelSpace(("joy", "anger"))
TEXTS: dict[Split, list[str]] = {
    "train": ["a", "b", "b", "b", "c", "d"],
    "val": ["b", "c", "x"],
    "test": ["d", "y", "y"],
}


class Rows(EmotionDataModule):
    """Given texts; the first row of each split has both labels, the second none, the others the first."""

    texts = TEXTS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reads: list[str] = []

    @property
    def label_space(self) -> LabelSpace:
        return SPACE

    def read(self, split: Split) -> Corpus:
        self.reads.append(split)
        rows = len(self.texts[split])
        labels = torch.tensor([[1.0, 1.0], [0.0, 0.0], *[[1.0, 0.0]] * rows][:rows]).reshape(rows, 2)
        mask = torch.ones(rows, 2, dtype=torch.bool)
        if split == "val":
            mask[2, 1] = False
        ids = [f"{split}{row}" for row in range(rows)]
        return Corpus(
            SPACE, labels, ids, list(self.texts[split]), mask=mask, dropped={"no text": 2} if split == "train" else {}
        )


def fake_trainer(tokenizer: Any, world_size: int = 1, rank: int = 0) -> Any:
    model = SimpleNamespace(data_input=TextInput(tokenizer, 64))
    return SimpleNamespace(world_size=world_size, global_rank=rank, lightning_module=model)


def test_splits_are_read_once_and_joined_in_order() -> None:
    data = Rows()
    assert data.corpus("val") is data.corpus("val")
    joined = data.corpus("all")
    assert joined.texts == TEXTS["train"] + TEXTS["val"] + TEXTS["test"]
    assert joined.dropped == {"no text": 2}
    data.setup("fit")
    data.setup("test")
    assert sorted(data.reads) == ["test", "train", "val"]


def test_unknown_and_empty_splits_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"unknown split 'dev'; expected one of \('train', 'val', 'test', 'all'\)"):
        Rows().corpus("dev")  # type: ignore[arg-type]
    monkeypatch.setattr(Rows, "texts", {**TEXTS, "test": []})
    assert len(Rows().corpus("val")) == 3
    with pytest.raises(ValueError, match="Rows: the test split has no rows"):
        Rows().setup("fit")


@pytest.mark.parametrize(
    "name", ["batch_size", "global_batch_size", "eval_batch_size", "train_rows", "rows_per_label", "min_words"]
)
def test_sizes_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"data\.{name} must be at least 1, found 0"):
        Rows(**{name: 0})


def test_a_corpus_must_define_labels_and_reader() -> None:
    with pytest.raises(NotImplementedError, match="EmotionDataModule must define label_space"):
        _ = EmotionDataModule().label_space
    with pytest.raises(NotImplementedError, match="EmotionDataModule must define read"):
        EmotionDataModule().corpus("train")


def test_train_rows_is_a_seeded_part_of_the_training_split_alone() -> None:
    part = Rows(train_rows=4).corpus("train")
    numbers = [int(identifier.removeprefix("train")) for identifier in part.ids]
    assert len(part) == 4
    assert numbers == sorted(set(numbers))
    assert part.texts == [TEXTS["train"][row] for row in numbers]
    assert Rows(train_rows=4).corpus("train").ids == part.ids
    assert len({tuple(Rows(train_rows=4, seed=seed).corpus("train").ids) for seed in range(8)}) > 1
    assert len(Rows(train_rows=4).corpus("val")) == 3
    assert Rows(train_rows=100).corpus("train").texts == TEXTS["train"]
    assert part.dropped == {"no text": 2}


def test_short_texts_are_dropped_from_training_alone_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {
        "train": ["a b c", "b  ", "d e f g", "", "x y"],
        "val": ["b", "a b c d", "e f g"],
        "test": ["x y", "z", "u v w"],
    }
    monkeypatch.setattr(Rows, "texts", texts)
    data = Rows(min_words=3)
    assert data.corpus("train").ids == ["train0", "train2"]
    assert [len(data.corpus(split)) for split in ("val", "test")] == [3, 3]
    assert data.corpus("train").dropped == {"no text": 2, "fewer than 3 words": 3}
    lines = data.report().splitlines()
    assert "2 dropped: no text, 3 dropped: fewer than 3 words" in lines[1]
    assert lines[2].endswith("1 with fewer than 3 words (kept)")
    assert lines[3].endswith("2 with fewer than 3 words (kept)")
    assert len(Rows(min_words=3, train_rows=1).corpus("train")) == 1
    with pytest.raises(ValueError, match="Rows: the train split has no rows"):
        Rows(min_words=9).corpus("train")


def test_report_counts_rows_labels_empty_sets_duplicates_and_dropped_rows() -> None:
    assert Rows().report().splitlines() == [
        "Rows: 2 labels",
        "  train       6 rows, 1.0000 labels a row, 1 without a label, 2 dropped: no text, 2 repeated texts",
        "  val         3 rows, 1.0000 labels a row, 1 without a label, 1 label cells not annotated",
        "  test        3 rows, 1.0000 labels a row, 1 without a label, 1 repeated texts",
        "  2 texts are in both train and val (kept, as official splits are)",
        "  1 texts are in both train and test (kept, as official splits are)",
    ]
    assert "2 dropped: no text" in Rows(train_rows=3).report()


def test_setup_reports_once(caplog: pytest.LogCaptureFixture) -> None:
    data = Rows()
    with caplog.at_level(logging.INFO, logger="mlemo"):
        data.setup("fit")
        data.setup("validate")
    assert [record.getMessage() for record in caplog.records] == [
        data.report(),
        "warning: train: only 6 rows to learn from",
    ]


class Given(EmotionDataModule):
    """Given labels, with NaN where not annotated."""

    def __init__(self, **splits: list[list[float]]) -> None:
        super().__init__()
        self.grids = {split: torch.tensor(rows) for split, rows in splits.items()}

    @property
    def label_space(self) -> LabelSpace:
        return LabelSpace(tuple(f"label{column}" for column in range(self.grids["train"].shape[1])))

    def read(self, split: Split) -> Corpus:
        grid = self.grids[split]
        ids = [f"{split}{row}" for row in range(len(grid))]
        warnings = (f"a file of {split}", "the file of all")
        return Corpus(self.label_space, grid.nan_to_num(0), ids, texts=ids, mask=~grid.isnan(), warnings=warnings)


BOTH, NAN = [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]], float("nan")
LARGE = BOTH * 50


def test_labels_of_one_kind_and_few_rows_are_warned_of_by_split(caplog: pytest.LogCaptureFixture) -> None:
    test = [[1.0, 0.0, NAN], [1.0, NAN, NAN], [NAN, 0.0, NAN]]
    lines = [
        "a file of train",
        "the file of all",
        "train: only 2 rows to learn from",
        "a file of val",
        "a file of test",
        "test: 1 of 3 labels have no annotated row: label2",
        "test: 1 of 3 labels have no positive: label1",
        "test: 1 of 3 labels have no negative: label0",
    ]
    data = Given(train=BOTH, val=BOTH, test=test)
    assert data.warnings() == lines
    with caplog.at_level(logging.WARNING, logger="mlemo"):
        data.setup("fit")
        data.setup("test")
    assert [record.getMessage() for record in caplog.records] == [f"warning: {line}" for line in lines]


def test_many_labels_are_counted_and_a_sound_split_is_not_warned_of() -> None:
    rare = [[1.0] + [0.0] * 29, [0.0] * 30]
    sound = [*torch.eye(30).tolist()] * 4
    own = [line for line in Given(train=sound, val=sound, test=rare).warnings() if "file" not in line]
    assert own == ["test: 29 of 30 labels have no positive: label1, label2, label3, label4, label5 and 24 more"]


@pytest.mark.parametrize(("split", "lost"), [("train", "nothing can be learned"), ("val", "neither an epoch nor a")])
def test_a_split_without_a_positive_is_refused_in_training_alone(split: str, lost: str) -> None:
    splits = {name: LARGE for name in ("train", "val", "test")} | {split: [[0.0, NAN, 0.0]]}
    with pytest.raises(ValueError, match=rf"the {split} split has no positive: none of its 1 rows has one.*{lost}"):
        Given(**splits).setup("fit")
    Given(**splits).setup("test")
    Given(**splits | {split: LARGE, "test": [[0.0, NAN, 0.0]]}).setup("fit")


def test_a_split_is_tokenized_once_for_each_way_of_asking(tokenizer: Any) -> None:
    data = Rows()
    plain, prompted = TextInput(tokenizer, 64), TextInput(tokenizer, 64, "words")
    assert data.dataset("train", plain) is data.dataset("train", TextInput(tokenizer, 64))
    assert data.dataset("train", prompted).prompt is not None
    assert data.dataset("train", plain).prompt is None
    assert len(data.dataset("val", plain)) == 3


def test_loaders_need_a_model() -> None:
    with pytest.raises(RuntimeError, match=r"run through a Trainer, or call dataset\(split, model.data_input\)"):
        Rows().train_dataloader()


def test_training_batches_are_every_row_once_and_seeded(data: Callable[..., EmotionDataModule], tokenizer: Any) -> None:
    def epoch(number: int, **settings: Any) -> list[list[int]]:
        module = data(batch_size=4, **settings)
        module.trainer = fake_trainer(tokenizer)
        loader = module.train_dataloader()
        loader.batch_sampler.set_epoch(number)
        return [batch["index"].tolist() for batch in loader]

    assert sorted(row for batch in epoch(0) for row in batch) == list(range(23))
    assert sorted(map(len, epoch(0))) == [3, 4, 4, 4, 4, 4]
    assert epoch(0) == epoch(0)
    assert epoch(0) != epoch(1)
    assert epoch(0) != epoch(0, seed=1)
    assert epoch(0) != epoch(0, group_by_length=False)


@pytest.mark.parametrize(("processes", "accumulated", "rows"), [(1, 1, 12), (1, 3, 4), (2, 1, 6), (2, 3, 2)])
def test_a_global_batch_is_divided_among_processes_and_accumulated_batches(
    processes: int, accumulated: int, rows: int, data: Callable[..., EmotionDataModule], tokenizer: Any
) -> None:
    module = data(global_batch_size=12, batch_size=99)
    module.trainer = fake_trainer(tokenizer)
    module.trainer.accumulate_grad_batches, module.trainer.world_size = accumulated, processes
    assert module.rows_per_batch(processes, accumulated) == rows
    assert max(len(batch["index"]) for batch in module.train_dataloader()) == rows
    with pytest.raises(ValueError, match=r"data\.global_batch_size=12 cannot .* 5 processes with 1 .* multiple of 5"):
        module.rows_per_batch(5, 1)


def test_the_place_in_the_epoch_is_the_state_of_the_loader(
    data: Callable[..., EmotionDataModule], tokenizer: Any
) -> None:
    def loader() -> Any:
        module = data(batch_size=4)
        module.trainer = fake_trainer(tokenizer)
        return module.train_dataloader()

    unbroken = [batch["index"].tolist() for batch in loader()]
    broken = loader()
    batches = iter(broken)
    for _ in range(2):
        next(batches)
    resumed = loader()
    resumed.load_state_dict(broken.state_dict())
    assert [batch["index"].tolist() for batch in resumed] == unbroken[2:]


def test_the_place_travels_with_the_datamodule_to_the_loader_that_is_made_next(
    data: Callable[..., EmotionDataModule], tokenizer: Any
) -> None:
    def make(fn: TrainerFn) -> EmotionDataModule:
        module = data(batch_size=4)
        module.trainer = fake_trainer(tokenizer)
        module.trainer.state = SimpleNamespace(fn=fn)
        return module

    first = make(TrainerFn.FITTING)
    assert first.state_dict() == {}
    unbroken = [batch["index"].tolist() for batch in first.train_dataloader()]
    batches = iter(first.train_dataloader())
    for _ in range(2):
        next(batches)
    state = first.state_dict()
    assert state == {"epoch": 0, "drawn": 2}

    resumed = make(TrainerFn.FITTING)
    resumed.load_state_dict(state)
    assert [batch["index"].tolist() for batch in resumed.train_dataloader()] == unbroken[2:]
    assert [batch["index"].tolist() for batch in resumed.train_dataloader()] == unbroken

    evaluated = make(TrainerFn.TESTING)
    evaluated.load_state_dict(state)
    assert [batch["index"].tolist() for batch in evaluated.train_dataloader()] == unbroken


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("kind", ["val", "test", "predict"])
def test_evaluation_takes_each_row_once_over_all_processes(
    data: Callable[..., EmotionDataModule], tokenizer: Any, kind: str, world_size: int
) -> None:
    rows: Counter[int] = Counter()
    for rank in range(world_size):
        module = data(eval_batch_size=2)
        module.trainer = fake_trainer(tokenizer, world_size, rank)
        for batch in getattr(module, f"{kind}_dataloader")():
            assert len(batch["index"]) <= 2
            rows.update(batch["index"].tolist())
    assert rows == Counter(range(9 if kind == "val" else 10))


def test_prediction_keeps_to_the_rows_of_its_process(
    data: Callable[..., EmotionDataModule], classifier: Callable, trainer: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning makes the loader of `predict` anew, and must not lose which rows are this process's."""
    module = data(eval_batch_size=3)
    shares = []
    for rank in range(2):
        monkeypatch.setattr(module, "_processes", lambda rank=rank: (2, rank))
        outputs = trainer().predict(classifier(), datamodule=module)
        shares.append({row for output in outputs for row in output["index"].tolist()})
    assert [len(share) for share in shares] == [5, 5]
    assert set.union(*shares) == set(range(10))


def test_more_processes_than_rows_are_refused(data: Callable[..., EmotionDataModule], tokenizer: Any) -> None:
    module = data()
    module.trainer = fake_trainer(tokenizer, world_size=10)
    with pytest.raises(ValueError, match="the val split has 9 rows for 10 processes; use fewer processes"):
        module.val_dataloader()
    module.test_dataloader()  # 10 rows
