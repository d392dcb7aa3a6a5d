"""AdmissionReview: an apiserver's question about one object, and the answer.

Source: Kubernetes API, admission.k8s.io/v1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

__all__ = ["BadReview", "Question", "Verdict", "answer", "read_question"]

_API_VERSION, _KIND = "admission.k8s.io/v1", "AdmissionReview"
_WARNING_LIMIT = 250
"""Characters of a warning that are sure to arrive: an apiserver may shorten longer ones."""


class BadReview(Exception):
    """What came isn't an AdmissionReview that can be answered; the text says why."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """May this object be stored?"""

    uid: str
    namespace: str
    object: dict[str, Any]


class Verdict(msgspec.Struct, frozen=True):
    """Denied if there is any error; warnings are shown to whoever made the request."""

    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def read_question(body: bytes) -> Question:
    """The question; its object is empty when there is nothing to judge: none came, or it is being deleted.

    The object gets the request's namespace, which it needn't have itself. Raises BadReview.
    """
    review = _decoded(body)
    request = review.get("request")
    if (review.get("apiVersion"), review.get("kind")) != (_API_VERSION, _KIND):
        raise BadReview(f"expected {_KIND} of {_API_VERSION}")
    if not isinstance(request, Mapping) or not isinstance(request.get("uid"), str):
        raise BadReview("$.request.uid: expected str")
    made = request.get("object")
    made = made if isinstance(made, dict) else {}
    metadata = made.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    namespace = str(request.get("namespace") or metadata.get("namespace") or "default")
    judged = {} if metadata.get("deletionTimestamp") else made
    if judged:
        judged = {**judged, "metadata": {**metadata, "namespace": namespace}}
    return Question(uid=request["uid"], namespace=namespace, object=judged)


def answer(uid: str, verdict: Verdict) -> bytes:
    """The AdmissionReview that goes back."""
    response: dict[str, Any] = {"uid": uid, "allowed": not verdict.errors}
    if verdict.errors:
        message = "multinet: " + "; ".join(verdict.errors)
        response["status"] = {"code": 422, "reason": "Invalid", "message": message}
    if verdict.warnings:
        response["warnings"] = [f"multinet: {text}"[:_WARNING_LIMIT] for text in verdict.warnings]
    return msgspec.json.encode({"apiVersion": _API_VERSION, "kind": _KIND, "response": response})


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        review = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadReview(f"not JSON: {error}") from None
    if not isinstance(review, dict):
        raise BadReview("expected an object")
    return review
