"""Short messages for errors of settings, files and data: what is wrong, what was found, what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches

from mlemo.utils.messages import visible
from mlemo.utils.yaml_files import read_settings

__all__ = ["Choices", "nearest", "settings_problem", "short_error", "two_lines", "yaml_problem"]

#: Longest message that is shown; messages can contain file contents and whole configs.
LONGEST = 600

#: Names for hints, by the owner of the setting: a class name, or ``""`` for the top level.
Choices = Callable[[str], Iterable[str]]

# the parts of jsonargparse's messages (4.53 and later) that identify a setting
KEY = re.compile(r'Parser key "([^"]+)":')
OWNER = re.compile(r"Problem with given class_path '([\w.]+)'")
UNKNOWN = re.compile(r"Option '([^']+)' is not accepted")
TOP_LEVEL = re.compile(r"does not accept option '([^']+)'|unrecognized arguments: --([\w.]+)")
CLASS = re.compile(r"dot import path string: ([\w.]+)|[Nn]o module named '([\w.]+)'")
LITERAL = re.compile(r"Expected a typing\.Literal\[(.*)\](?:\. Got value: (.*))?$")
TYPE = re.compile(r"Expected a <class '([\w.]+)'>(?:\. Got value: (.*))?$")
VALUE = re.compile(r"^\s*Given value: (?!NestedArg|Namespace)(.*)$", re.MULTILINE)
NESTED = re.compile(r"NestedArg\(key='([^']+)'")
DENIED = re.compile(r"Importing '([\w.]+)' is not allowed")
# lines about jsonargparse's search among the members of a union, not about the error
NOISE = re.compile(
    r"Does not validate against any|Not a valid subclass of|expect one of:|^a (class path|dict) |Subtypes: |Errors:|"
    r"Given value|Expected a path but|<class 'NoneType'>|^$"
)


def short_error(error: BaseException) -> str:
    """Shorten the message of an exception to at most two lines for users.

    Args:
        error: The exception; jsonargparse's messages about unions are reduced to the error itself.

    Returns:
        One or two lines of at most 600 characters.

    Example:
        >>> short_error(ValueError("data.batch_size must be at least 1, found 0"))
        'data.batch_size must be at least 1, found 0'
    """
    message = str(error).strip() or type(error).__name__
    if isinstance(error, KeyError):
        message = f"there is no {message}"
    if isinstance(error, OSError) and error.strerror and error.filename:
        message = f"{error.filename}: {error.strerror}"
    if "Does not validate against any" in message:
        message = settings_problem(message, lambda owner: ())
    return two_lines(message)


def settings_problem(message: str, choices: Choices) -> str:
    """Extract the error from a message of jsonargparse about a setting, with the nearest existing names.

    Args:
        message: The message, with one line per level of nesting and per member of a union.
        choices: Names for hints: settings of the class with a dotted path, settings of the top level (``""``), or
            classes (``"class"``).

    Returns:
        ``key: problem``, or the message itself if it has another format.

    Example:
        >>> message = '''Parser key "trainer.max_epochs":
        ...   Does not validate against any of the Union subtypes
        ...   Errors:
        ...     - Expected a <class 'int'>
        ...     - Expected a <class 'NoneType'>
        ...   Given value: abc'''
        >>> settings_problem(message, lambda owner: ())
        "trainer.max_epochs: expected int, found 'abc'"
    """
    keys = KEY.findall(message)
    if (top := TOP_LEVEL.search(message)) is not None:
        name = top[1] or top[2]
        known = list(choices(""))
        hint = nearest(name, known) or nearest(name.split(".")[0], known)
        return f"there is no setting {name!r}{hint}"
    if (unknown := UNKNOWN.search(message)) is not None:
        owners = OWNER.findall(message)
        owner = owners[-1] if owners else ""
        hint = nearest(unknown[1], choices(owner))
        return f"{'.'.join([*keys, unknown[1]])}: {owner.rsplit('.', 1)[-1] or 'it'} has no such setting{hint}"
    where = ".".join(keys)
    problems: list[str] = []
    allowed: list[str] = []
    value = next(iter(VALUE.findall(message)), None)
    for line in message.splitlines():
        text = line.strip().removeprefix("- ")
        if NOISE.search(text) or KEY.search(text) or OWNER.search(text):
            continue
        if (found := LITERAL.match(text)) is not None:
            allowed.append(found[1])
            value = found[2] or value
            continue
        problems.append(_problem(text, value, choices))
    if allowed:
        problems.append(f"expected one of {', '.join(allowed)}{_found(value)}")
    problems = list(dict.fromkeys(problems))
    # a class that was searched by short name and by dotted path is one problem: the one with a hint
    problems = [one for one in problems if not any(other != one and other.startswith(one) for other in problems)]
    if not problems:
        return message
    return f"{where}: {' or '.join(problems)}" if where else " or ".join(problems)


def yaml_problem(paths: Iterable[str]) -> str | None:
    """Describe the error of the first invalid YAML file with file and line; ``None`` if all are valid.

    Args:
        paths: The files; those that cannot be opened are skipped.
    """
    for path in paths:
        try:
            content = read_settings(path)
        except ValueError as error:
            return str(error)
        except OSError:
            continue
        if not isinstance(content, dict):
            found = "nothing" if content is None else f"a {type(content).__name__}"
            return f"{path}: found {found}, expected settings, each as `key: value`"
    return None


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean …?`` with up to three names that are close to ``name``, or an empty string.

    Example:
        >>> nearest("encodr", ["encoder", "loss"])
        '; did you mean encoder?'
    """
    near = get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _problem(text: str, value: str | None, choices: Choices) -> str:
    """Reword one line of jsonargparse."""
    if (denied := DENIED.search(text)) is not None:
        module = denied[1].rpartition(".")[0]
        return f"{denied[1]!r} is not in a module that is trusted for checkpoints; if it is yours, add --trust {module}"
    if (found := CLASS.search(text)) is not None:
        name = (found[1] or found[2]).rsplit(".", 1)[-1]
        known = set(choices("class"))
        if name in known:
            return f"{name} is a class of another kind than expected here"
        return f"there is no class {name!r}{nearest(name, known)}"
    if (found := TYPE.match(text)) is not None:
        return f"expected {found[1]}{_found(found[2] or value)}"
    return text


def _found(value: str | None) -> str:
    return "" if value is None else f", found {value!r}"


def two_lines(message: str) -> str:
    r"""Shorten a message to one or two lines of at most 600 characters.

    Example:
        >>> two_lines("not there:\n a.csv\n b.csv")
        'not there:\na.csv b.csv'
    """
    lines = [line.strip() for line in visible(message).splitlines() if line.strip()] or [""]
    shown = "\n".join([lines[0], " ".join(lines[1:])]) if len(lines) > 1 else lines[0]
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…"
