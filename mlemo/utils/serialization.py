"""Objects as plain values: the dotted path of their class and the arguments that built them."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, Self, TypeVar

__all__ = [
    "PACKAGES",
    "Recorded",
    "class_path",
    "component_from_dict",
    "component_to_dict",
    "import_trusted",
    "plain",
    "stored_class",
]

T = TypeVar("T")
DEFINITION = {"class_path", "init_args"}

#: Packages of which a stored path may name a module that is not imported yet; importing one does nothing else.
PACKAGES = tuple(
    f"mlemo.{name}" for name in ("callbacks", "data", "losses", "models", "nn", "samplers", "text", "thresholds")
)


class Recorded:
    """Base of components that remember the arguments of their constructor, so that they can be written as settings.

    Attributes:
        constructor_call: Positional and keyword arguments, as the caller gave them.

    Example:
        >>> from mlemo.losses import FocalLoss
        >>> FocalLoss(gamma=3.0).constructor_call
        ((), {'gamma': 3.0})
    """

    constructor_call: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make the object; arguments that a subclass hands to the ``__init__`` of its base do not pass through here."""
        made = super().__new__(cls)
        object.__setattr__(made, "constructor_call", (args, kwargs))  # before nn.Module.__init__ allows attributes
        return made


def plain(value: Any, where: str) -> Any:
    """The value with tuples as lists and keys as strings, if it is made of plain values only.

    Args:
        value: Numbers, strings, ``None``, and lists, tuples and dictionaries of them.
        where: What the value is, for the error.

    Raises:
        ValueError: Something else is in it.

    Example:
        >>> plain({"cuts": (0.5, None)}, "the state")
        {'cuts': [0.5, None]}
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(item, where) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item, where) for key, item in value.items()}
    raise ValueError(f"{where} must be plain numbers, strings, lists or None to be stored, found {value!r}")


def component_to_dict(component: object, nested: type | None = None) -> dict[str, Any]:
    """An object as plain values, so that a checkpoint can hold it and ``torch.load(weights_only=True)`` can read it.

    Args:
        component: An object that keeps each of its ``__init__`` arguments under the argument's own name.
        nested: Arguments of this class are stored in turn.

    Returns:
        ``{"class_path": dotted path, "init_args": {...}}``. The path is the one that the class's package exports, where
        it does, so that files may move without breaking checkpoints.

    Raises:
        ValueError: The class cannot be imported by a path (it was defined inside a function), or an argument is not
            kept under its own name, as a plain value or a ``nested`` one.

    Example:
        >>> from mlemo.text import Tweets
        >>> stored = component_to_dict(Tweets(urls="url"))
        >>> stored["class_path"], stored["init_args"]["urls"]
        ('mlemo.text.Tweets', 'url')
    """
    kind = type(component)
    if "<locals>" in kind.__qualname__:
        raise ValueError(f"{kind.__qualname__} is defined inside a function and cannot be stored by its path")
    init_args = {}
    for name in inspect.signature(kind).parameters:
        if not hasattr(component, name):
            raise ValueError(f"{kind.__name__} does not keep its argument {name!r} under that name")
        value = getattr(component, name)
        inner = nested is not None and isinstance(value, nested)
        init_args[name] = component_to_dict(value, nested) if inner else plain(value, f"{kind.__name__}.{name}")
    return {"class_path": class_path(kind), "init_args": init_args}


def class_path(kind: type) -> str:
    """The one dotted path of a class: that which its package exports, where it does, else that of its module.

    Example:
        >>> from mlemo.text.tweets import Tweets
        >>> class_path(Tweets)
        'mlemo.text.Tweets'
    """
    module = kind.__module__
    package = module.rpartition(".")[0]
    if getattr(sys.modules.get(package), kind.__name__, None) is kind:
        module = package
    return f"{module}.{kind.__qualname__}"


def import_trusted(modules: Iterable[str]) -> None:
    """Import modules that the user has named, so that stored paths may name their classes.

    Args:
        modules: Dotted names.

    Raises:
        ValueError: A module cannot be imported.

    Example:
        >>> import_trusted(["no_such_module"])
        Traceback (most recent call last):
        ValueError: the trusted module 'no_such_module' cannot be imported: No module named 'no_such_module'
    """
    for module in modules:
        try:
            import_module(module)
        except (ImportError, ValueError, TypeError) as error:
            raise ValueError(f"the trusted module {module!r} cannot be imported: {error}") from error


def stored_class(path: object, what: str, packages: Iterable[str] = PACKAGES) -> type:
    """The class that a file names, without importing what the file names: it may come with code from a stranger.

    Args:
        path: Dotted path of a class of mlemo, or of a module that is imported.
        what: What it is, for the error (``"rule"``, ``"cleaning"``).
        packages: Packages whose modules are imported where they are not yet.

    Raises:
        ValueError: It is no path, its module is not imported, or there is no such class.

    Example:
        >>> stored_class("mlemo.text.Tweets", "cleaning").__name__
        'Tweets'
        >>> stored_class("antigravity.Rule", "rule")
        Traceback (most recent call last):
        ValueError: the stored rule 'antigravity.Rule' is of a module that is not imported; if you trust it, add \
--trust antigravity (in Python, import it)
    """
    if not isinstance(path, str) or not all(part.isidentifier() for part in path.split(".")):
        raise ValueError(f"the stored {what} {path!r} is no dotted path of a class")
    module, _, name = path.rpartition(".")
    if module not in sys.modules and any(f"{module}.".startswith(f"{package}.") for package in packages):
        try:
            import_module(module)
        except ImportError as error:
            raise ValueError(f"the stored {what} {path!r} does not exist: {error}") from error
    if module not in sys.modules:
        hint = f"; if you trust it, add --trust {module} (in Python, import it)" if module else ""
        raise ValueError(f"the stored {what} {path!r} is of a module that is not imported{hint}")
    kind = vars(sys.modules[module]).get(name)  # not getattr, which can import too
    if not isinstance(kind, type):
        raise ValueError(f"the stored {what} {path!r} does not exist: {module} has no class {name!r}")
    return kind


def component_from_dict(stored: Mapping[str, Any], base: type[T], what: str) -> T:
    """The object that :func:`component_to_dict` stored; see `stored_class` for which classes may be named.

    Args:
        stored: ``{"class_path", "init_args"}``; other keys are left alone. An argument of this form is built first.
        base: The class that it has to be a subclass of.
        what: What it is, for the errors (``"rule"``, ``"cleaning"``).

    Raises:
        ValueError: A key is missing, there is no such class, its module is not imported, it is not a subclass of
            ``base``, or the arguments do not fit the class.

    Example:
        >>> from mlemo.text import TextCleaning
        >>> component_from_dict({"class_path": "builtins.dict", "init_args": {}}, TextCleaning, "cleaning")
        Traceback (most recent call last):
        ValueError: the stored cleaning 'builtins.dict' is not a TextCleaning
    """
    missing = DEFINITION - set(stored)
    if missing:
        raise ValueError(f"a stored {what} has class_path and init_args; {sorted(missing)} missing")
    path = stored["class_path"]
    kind = stored_class(path, what)
    if not issubclass(kind, base):
        raise ValueError(f"the stored {what} {path!r} is not a {base.__name__}")
    arguments = {
        name: component_from_dict(value, base, what)
        if isinstance(value, Mapping) and set(value) == DEFINITION
        else value
        for name, value in stored["init_args"].items()
    }
    try:
        return kind(**arguments)
    except TypeError as error:
        raise ValueError(f"the stored {what} {path!r} cannot be built from {stored['init_args']}: {error}") from error
