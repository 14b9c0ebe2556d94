"""The description of the service in the form of OpenAPI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlemo.serving.limits import Limits

__all__ = ["description"]


def description(labels: Sequence[str], limits: Limits) -> dict[str, Any]:
    """Describe the service as an OpenAPI 3.1 document.

    Args:
        labels: Names of the labels.
        limits: Sizes that are taken.
    """
    text = {"type": "string", "maxLength": limits.characters}
    texts = {"type": "array", "items": text, "minItems": 1, "maxItems": limits.texts}
    label = {"type": "string", "enum": list(labels)}
    probability = {"type": "number", "minimum": 0, "maximum": 1}
    result = _object(
        labels={"type": "array", "items": label, "description": "labels that the decision rule gives, in label order"},
        probabilities=_object(**dict.fromkeys(labels, probability)),
    )
    error = _content(_object(error={"type": "string"}))
    refused = {
        "413": f"the body has more than {limits.body:,} bytes",
        "422": "the body is not as described, or beyond the limits",
        "500": "the model failed",
        "503": f"more than {limits.waiting:,} texts are waiting",
    }
    classify = {
        "summary": "Label texts",
        "requestBody": {"required": True, **_content(_object(texts=texts))},
        "responses": {
            "200": {
                "description": "one result per text, in the order of the texts",
                **_content(_object(results={"type": "array", "items": result})),
            },
            **{status: {"description": meaning, **error} for status, meaning in refused.items()},
        },
    }
    from mlemo import __version__  # noqa: PLC0415  # the package is initialized by now

    health = _content(_object(status={"type": "string"}, labels={"type": "array", "items": label}))
    return {
        "openapi": "3.1.0",
        "info": {"title": "mlemo", "summary": "Multi-label classification of texts", "version": __version__},
        "paths": {
            "/classify": {"post": classify},
            "/health": {"get": _get("Whether the service is up, and its labels", health)},
            "/metrics": {"get": _get("Counts and times", {"content": {"text/plain": {"schema": {"type": "string"}}}})},
        },
    }


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}


def _get(summary: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": {"description": summary, **content}}}
