"""The web application: classification, health, metrics, its own description, and a page to try it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from importlib.resources import files

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from mlemo.inference import Classifier
from mlemo.serving.batching import Batcher, Overloaded
from mlemo.serving.description import description
from mlemo.serving.limits import Limits, Refused, read_texts

__all__ = ["application"]

log = logging.getLogger(__name__)

#: The page needs its own style and script alone, and the service's answers.
ONLY_ITSELF = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def application(classifier: Classifier, limits: Limits | None = None, wait: float = 0.005) -> Starlette:
    """Create the application around a classifier.

    Args:
        classifier: A trained model; its ``batch_size`` is that of common batches as well.
        limits: Sizes that are taken.
        wait: Seconds that a request waits for others, which are classified with it.
    """
    limits = Limits() if limits is None else limits
    registry = CollectorRegistry()
    answers = Counter("mlemo_requests", "Requests to /classify by status", ["status"], registry=registry)
    texts_seen = Counter("mlemo_texts", "Texts that were classified", registry=registry)
    seconds = Histogram("mlemo_request_seconds", "Time from request to answer", registry=registry)
    batches = Histogram("mlemo_batch_texts", "Texts of a batch", buckets=BATCH_SIZES, registry=registry)
    batcher = Batcher(classifier, classifier.batch_size, wait, limits.waiting, batches.observe)
    waiting = Gauge("mlemo_waiting_texts", "Texts that wait or are computed", registry=registry)
    waiting.set_function(lambda: batcher.waiting)

    async def classify(request: Request) -> Response:
        texts = await read_texts(request, limits)
        results = await batcher(texts)
        texts_seen.inc(len(texts))
        return JSONResponse(
            {"results": [{"labels": each.labels, "probabilities": each.probabilities} for each in results]}
        )

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok", "labels": list(classifier.labels)})

    async def metrics(request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    async def openapi(request: Request) -> Response:
        return JSONResponse(description(classifier.labels, limits))

    async def page(request: Request) -> Response:
        text = files("mlemo.serving").joinpath("page.html").read_text(encoding="utf-8")
        return HTMLResponse(text, headers={"Content-Security-Policy": ONLY_ITSELF})

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(batcher.run())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def counted(request: Request) -> Response:
        start = time.perf_counter()
        response = await _answered(classify, request)
        answers.labels(response.status_code).inc()
        seconds.observe(time.perf_counter() - start)
        return response

    return Starlette(
        routes=[
            Route("/", page),
            Route("/classify", counted, methods=["POST"]),
            Route("/health", health),
            Route("/metrics", metrics),
            Route("/openapi.json", openapi),
        ],
        lifespan=lifespan,
    )


async def _answered(handle: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
    """The answer of a handler, or the status and message of what went wrong."""
    try:
        return await handle(request)
    except Refused as error:
        return JSONResponse({"error": error.message}, error.status)
    except Overloaded:
        message = "too many texts are waiting; try again later"
        return JSONResponse({"error": message}, 503, headers={"Retry-After": "1"})
    except Exception:  # whatever a model raises, the client gets an answer and the log the reason
        log.exception("a request failed")
        return JSONResponse({"error": "the model failed; the log of the service says why"}, 500)
