import pytest

from mlemo.labels import LabelSpace

SPACE = LabelSpace(("joy", "anger", "fear"), groups=(("fear", "anger"),))


def test_columns_follow_the_names() -> None:
    assert len(SPACE) == 3
    assert [SPACE.index(name) for name in SPACE.names] == [0, 1, 2]
    assert SPACE.group_indices() == ((2, 1),)
    assert LabelSpace(("joy", "anger")).group_indices() is None


def test_unknown_label_is_named_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match=r"unknown label 'trust'; the labels are \['joy', 'anger', 'fear'\]"):
        SPACE.index("trust")


def test_multi_hot_and_decode_are_inverse() -> None:
    for row in ([0.0, 0.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 1.0, 1.0]):
        assert SPACE.multi_hot(SPACE.decode([bool(value) for value in row])) == row
    assert SPACE.decode([False, True, True]) == ["anger", "fear"]
    with pytest.raises(ValueError, match="unknown label 'trust'"):
        SPACE.multi_hot(["joy", "trust"])
    with pytest.raises(ValueError, match="zip"):
        SPACE.decode([True, False])


@pytest.mark.parametrize("space", [SPACE, LabelSpace(("joy", "anger"))])
def test_plain_form_round_trip(space: LabelSpace) -> None:
    plain = space.as_dict()
    assert isinstance(plain["names"], list)
    assert LabelSpace.of(plain) == space
    assert LabelSpace.of(space) is space
    assert LabelSpace.of(list(space.names)).names == space.names


def test_lists_become_tuples() -> None:
    space = LabelSpace(["joy", "anger"], groups=[["joy"], ["anger"]])  # type: ignore[arg-type]
    assert space == LabelSpace(("joy", "anger"), groups=(("joy",), ("anger",)))
    assert hash(space) == hash(LabelSpace(("joy", "anger"), groups=(("joy",), ("anger",))))


@pytest.mark.parametrize(
    ("names", "groups", "message"),
    [
        ((), None, "at least one label, found none"),
        (("joy", " "), None, "non-empty strings, found ' '"),
        (("joy", 3), None, "non-empty strings, found 3"),
        (("joy", "fear", "joy"), None, r"unique, found \['joy'\] more than once"),
        ("joy", None, "a list of names, found the string 'joy'"),
        (("joy", "fear"), (("joy", "trust"),), r"unknown labels \['trust'\]; the labels are \['joy', 'fear'\]"),
        (("joy", "fear"), (("joy",), ("fear", "joy")), r"at most one group, found \['joy'\] in several"),
    ],
)
def test_faulty_names_and_groups_are_refused(names: tuple, groups: tuple | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LabelSpace(names, groups)


def test_one_string_is_not_taken_for_its_letters() -> None:
    with pytest.raises(ValueError, match="found the string 'joy'"):
        LabelSpace.of("joy")
