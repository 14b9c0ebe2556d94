import pytest
import torch

from mlemo.data import Corpus
from mlemo.labels import LabelSpace

SPACE = LabelSpace(("joy", "anger"))
LABELS = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])


def make(**changes) -> Corpus:
    parts = {"label_space": SPACE, "labels": LABELS, "ids": ["a", "b", "c"], "texts": ["one", "two", "three"]}
    return Corpus(**parts | changes)


def test_everything_is_annotated_unless_a_mask_is_given() -> None:
    assert make().mask.dtype == torch.bool
    assert make().mask.tolist() == [[True, True]] * 3
    mask = torch.tensor([[True, False]] * 3)
    assert make(mask=mask).mask is mask


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"texts": None}, "either texts or features, found both or neither"),
        ({"features": torch.zeros(3, 4)}, "either texts or features, found both or neither"),
        ({"ids": ["a", "b"]}, r"labels have shape \(3, 2\), expected \(2, 2\)"),
        ({"labels": LABELS[:, :1]}, r"labels have shape \(3, 1\), expected \(3, 2\)"),
        ({"mask": torch.ones(2, 2, dtype=torch.bool)}, r"mask have shape \(2, 2\), expected \(3, 2\)"),
        ({"labels": 2 * LABELS}, r"labels must lie in \[0, 1\], found 2.0 for 'joy' in row 0 \(id 'a'\)"),
        ({"labels": LABELS / LABELS}, r"labels must lie in \[0, 1\], found nan for 'anger' in row 0 \(id 'a'\)"),
        ({"texts": ["one"]}, "1 texts or feature rows for 3 ids"),
        ({"texts": None, "features": torch.zeros(4, 5)}, "4 texts or feature rows for 3 ids"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**changes)


@pytest.mark.parametrize("rows", [[2, 0], torch.tensor([2, 0])])
@pytest.mark.parametrize("tabular", [False, True])
def test_select_takes_rows_in_the_given_order(rows, tabular: bool) -> None:
    mask = torch.tensor([[True, False], [True, True], [False, True]])
    features = torch.arange(12.0).reshape(3, 4)
    content = {"texts": None, "features": features} if tabular else {}
    picked = make(mask=mask, dropped={"no text": 5}, **content).select(rows)
    assert picked.ids == ["c", "a"]
    assert picked.texts == (None if tabular else ["three", "one"])
    if tabular:
        assert torch.equal(picked.features, features[[2, 0]])
    assert torch.equal(picked.labels, LABELS[[2, 0]])
    assert torch.equal(picked.mask, mask[[2, 0]])
    assert picked.dropped == {"no text": 5}
    assert make(warnings=("a", "b")).select(rows).warnings == ("a", "b")


def test_select_does_not_share_the_dropped_counts() -> None:
    whole = make(dropped={"no text": 5})
    whole.select([0]).dropped["no text"] = 6
    assert whole.dropped == {"no text": 5}


def test_concatenate_joins_rows_and_adds_up_what_was_dropped() -> None:
    mask = torch.tensor([[True, False]] * 3)
    joined = Corpus.concatenate([make(dropped={"x": 1}), make(mask=mask, dropped={"x": 2, "y": 3}), make()])
    assert len(joined) == 9
    assert joined.ids == ["a", "b", "c"] * 3
    assert joined.texts == ["one", "two", "three"] * 3
    assert torch.equal(joined.labels, LABELS.repeat(3, 1))
    assert joined.mask.tolist() == [[True, True]] * 3 + [[True, False]] * 3 + [[True, True]] * 3
    assert joined.dropped == {"x": 3, "y": 3}
    assert Corpus.concatenate([make(warnings=("a", "b")), make(warnings=("b", "c"))]).warnings == ("a", "b", "c")


def test_concatenate_joins_features() -> None:
    first, second = torch.zeros(3, 4), torch.ones(3, 4)
    joined = Corpus.concatenate([make(texts=None, features=part) for part in (first, second)])
    assert joined.texts is None
    assert torch.equal(joined.features, torch.cat([first, second]))


def test_concatenate_refuses_nothing_and_other_labels() -> None:
    with pytest.raises(ValueError, match="nothing to concatenate"):
        Corpus.concatenate([])
    other = make(label_space=LabelSpace(("joy", "fear")))
    with pytest.raises(ValueError, match=r"cannot join corpora over \('joy', 'anger'\) and \('joy', 'fear'\)"):
        Corpus.concatenate([make(), other])


def test_extras_follow_the_rows() -> None:
    levels = torch.tensor([[3.0, 0.0], [0.0, 0.0], [1.0, 2.0]])
    corpus = make(extras={"intensities": levels})
    assert torch.equal(corpus.select([2, 0]).extras["intensities"], levels[[2, 0]])
    joined = Corpus.concatenate([make(), corpus, make(extras={"group": torch.tensor([1, 0, 1])})])
    assert joined.extras["intensities"][:3].isnan().all()
    assert joined.extras["intensities"][6:].isnan().all()
    assert torch.equal(joined.extras["intensities"][3:6], levels)
    assert joined.extras["group"].tolist() == [-1] * 6 + [1, 0, 1]


@pytest.mark.parametrize(
    ("extras", "message"),
    [
        ({"intensities": torch.zeros(2, 2)}, "extra 'intensities' has 2 rows for 3 ids"),
        ({"labels": torch.zeros(3, 2)}, "no extra can have the name 'labels'"),
    ],
)
def test_extras_that_do_not_fit_are_refused(extras: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(extras=extras)
