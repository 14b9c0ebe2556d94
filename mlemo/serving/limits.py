"""Limits of the service, and the check of a request against them."""

from __future__ import annotations

import json
from dataclasses import dataclass

from starlette.requests import Request

__all__ = ["Limits", "Refused", "read_texts"]


class Refused(Exception):
    """A request that is not answered.

    Args:
        status: HTTP status.
        message: What was found, and what is expected.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass(frozen=True)
class Limits:
    """Sizes that the service takes.

    Args:
        texts: Texts of a request.
        characters: Characters of a text.
        body: Bytes of a request.
        waiting: Texts of all requests that wait or are computed.

    Raises:
        ValueError: A request may have more texts than may wait.
    """

    texts: int = 64
    characters: int = 10_000
    body: int = 1_000_000
    waiting: int = 1024

    def __post_init__(self) -> None:
        if self.texts > self.waiting:
            raise ValueError(
                f"a request may have {self.texts:,} texts, and only {self.waiting:,} may wait; expected as many"
            )


async def read_texts(request: Request, limits: Limits) -> list[str]:
    """Read the texts of a request, ``{"texts": [...]}``.

    Raises:
        Refused: The body is too large (413), or is something else or beyond the limits (422).
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limits.body:
            raise Refused(413, f"the body has more than {limits.body:,} bytes, which is the most that is taken")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(422, f"the body must be JSON in UTF-8: {error}") from error
    texts = content.get("texts") if isinstance(content, dict) else None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Refused(422, 'expected {"texts": ["…", …]}, a list of strings')
    if not 1 <= len(texts) <= limits.texts:
        raise Refused(422, f"expected 1 to {limits.texts:,} texts, found {len(texts):,}")
    for place, text in enumerate(texts):
        if len(text) > limits.characters:
            raise Refused(
                422, f"texts have at most {limits.characters:,} characters, found {len(text):,} in texts[{place}]"
            )
    return texts
