"""Objects stored by the path of their class and their arguments."""

import math
from dataclasses import dataclass

import pytest

from mlemo.utils.serialization import component_from_dict, component_to_dict, plain


@dataclass
class Scale:
    factor: float = 2.0
    names: tuple[str, ...] = ("a",)


class Forgetful:
    def __init__(self, size: int) -> None:
        self.width = size


def test_there_and_back():
    stored = component_to_dict(Scale(3.0, ("x", "y")))
    assert stored == {"class_path": f"{__name__}.Scale", "init_args": {"factor": 3.0, "names": ["x", "y"]}}
    assert component_from_dict(stored, Scale, "scale") == Scale(3.0, ["x", "y"])


def test_the_path_is_the_one_that_the_package_exports():
    from mlemo.thresholds import FixedThreshold

    assert FixedThreshold.__module__ == "mlemo.thresholds.fixed"
    assert component_to_dict(FixedThreshold(0.3))["class_path"] == "mlemo.thresholds.FixedThreshold"


def test_what_cannot_be_stored():
    class Local:
        pass

    with pytest.raises(ValueError, match="Local is defined inside a function and cannot be stored"):
        component_to_dict(Local())
    with pytest.raises(ValueError, match="Forgetful does not keep its argument 'size' under that name"):
        component_to_dict(Forgetful(3))
    with pytest.raises(
        ValueError, match=r"Scale\.factor must be plain numbers, strings, lists or None .* found <built-in"
    ):
        component_to_dict(Scale(math.sin))


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"class_path": "x.Y"}, r"a stored scale has class_path and init_args; \['init_args'\] missing"),
        (
            {"class_path": "no_such.Scale", "init_args": {}},
            r"stored scale 'no_such\.Scale' is of a module that is not imported; .* add --trust no_such ",
        ),
        (
            {"class_path": "math.Scale", "init_args": {}},
            "stored scale 'math.Scale' does not exist: math has no class 'Scale'",
        ),
        ({"class_path": "Scale", "init_args": {}}, "stored scale 'Scale' is of a module that is not imported$"),
        ({"class_path": "builtins.dict", "init_args": {}}, "stored scale 'builtins.dict' is not a Scale"),
        ({"class_path": f"{__name__}.Scale", "init_args": {"facto": 1}}, "cannot be built from {'facto': 1}: .*facto"),
    ],
)
def test_what_cannot_be_read(stored, message):
    with pytest.raises(ValueError, match=message):
        component_from_dict(stored, Scale, "scale")


def test_plain_values():
    assert plain({1: (True, None, "x", 0.5)}, "it") == {"1": [True, None, "x", 0.5]}
    with pytest.raises(ValueError, match="it must be plain numbers"):
        plain([{1, 2}], "it")
