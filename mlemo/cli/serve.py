"""``mlemo serve``: a trained model as a service over HTTP."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from mlemo.cli.arguments import CommandParser, add_trust

__all__ = ["main", "parser"]

DESCRIPTION = """\
Answer requests for labels over HTTP, and show a page to try it in a browser, with an exported folder or a run. Texts of
requests that arrive together are classified together. Nothing is sent anywhere, and no other machine is answered
unless --host says so. (Needs mlemo[serve].)

  mlemo serve my-model
  curl -d '{"texts": ["What a lovely surprise!"]}' http://127.0.0.1:8000/classify"""


def parser() -> CommandParser:
    """Create the parser of ``mlemo serve``."""
    result = CommandParser("serve", DESCRIPTION)
    add = result.add_argument
    add("model", metavar="FOLDER", help="exported folder, run, or checkpoint file")
    add("--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1, this machine alone)")
    add("--port", type=_port, default=8000, help="port to listen at, 0 for a free one (default: 8000)")
    add("--device", default="cpu", help="device of the model, such as cuda (default: cpu)")
    add("--runtime", choices=("torch", "onnx", "int8"), default="torch", help="what computes (default: torch)")
    add("--batch-size", type=_count, default=64, metavar="N", help="texts of a common batch (default: 64)")
    add("--wait", type=_milliseconds, default=5.0, metavar="MS", help="milliseconds that a request waits for others "
        "(default: 5)")  # fmt: skip
    add("--max-texts", type=_count, default=64, metavar="N", help="most texts of a request (default: 64)")
    add("--max-characters", type=_count, default=10_000, metavar="N", help="most characters of a text (default: 10000)")
    add("--max-body", type=_count, default=1_000_000, metavar="N", help="most bytes of a request (default: 1000000)")
    add("--max-waiting", type=_count, default=1024, metavar="N", help="most texts that wait; more are answered by "
        "status 503 (default: 1024)")  # fmt: skip
    add_trust(result)
    return result


def main(words: Sequence[str]) -> None:
    """Answer requests until interrupted.

    Args:
        words: Arguments after ``serve``.

    Raises:
        SystemExit: The arguments are invalid, the model cannot be loaded, or the address cannot be listened at.
    """
    from mlemo.inference import load

    own = parser()
    options = own.parse_args(list(words))
    try:
        from mlemo.serving.limits import Limits
        from mlemo.serving.server import serve
    except ImportError as error:
        own.error(f'{error}; install what the service needs by `pip install "mlemo[serve]"`')
    try:
        limits = Limits(options.max_texts, options.max_characters, options.max_body, options.max_waiting)
        classifier = load(options.model, options.device, options.trust, options.runtime)
        classifier.batch_size = options.batch_size
        serve(classifier, limits, options.wait / 1000, host=options.host, port=options.port, ready=_say)
    except (OSError, ValueError, ImportError) as error:
        own.error(str(error))


def _say(address: str) -> None:
    sys.stdout.write(f"listening at {address} (Ctrl+C ends it)\n")
    sys.stdout.flush()


def _port(word: str) -> int:
    number = int(word)
    if not 0 <= number < 2**16:
        raise argparse.ArgumentTypeError(f"expected 0 to 65535, found {number}")
    return number


def _count(word: str) -> int:
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, found {number}")
    return number


def _milliseconds(word: str) -> float:
    number = float(word)
    if not 0 <= number < 60_000:
        raise argparse.ArgumentTypeError(f"expected 0 to 60000, found {word}")
    return number
