"""Running the service."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from mlemo.inference import Classifier
from mlemo.serving.app import application
from mlemo.serving.limits import Limits

__all__ = ["serve"]


def serve(
    classifier: Classifier,
    limits: Limits,
    wait: float,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    ready: Callable[[str], None] = print,
) -> None:
    """Answer requests until interrupted.

    Args:
        classifier: A trained model.
        limits: Sizes that are taken.
        wait: Seconds that a request waits for others.
        host: Address to listen at.
        port: Port; 0 for a free one.
        ready: Called with the address when requests are taken.

    Raises:
        OSError: The address cannot be listened at.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=1024) as listener:
        shown = f"[{host}]" if ":" in host else host
        ready(f"http://{shown}:{listener.getsockname()[1]}")
        config = uvicorn.Config(
            application(classifier, limits, wait), log_level="warning", access_log=False, server_header=False
        )
        uvicorn.Server(config).run(sockets=[listener])
