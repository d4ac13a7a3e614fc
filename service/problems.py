"""Errors as RFC 9457 problem documents. None carries what the client sent: a transcript may be confidential, and errors get logged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:stated-motives:problem:"
CLIENT_GONE = 499
"""Status that metrics show for a client that left before its answer; nobody receives it."""


class Kind(NamedTuple):
    """A kind of problem: HTTP status and a title that never varies."""

    status: int
    title: str


KINDS: Mapping[str, Kind] = {
    "invalid-json": Kind(400, "The body is not valid JSON"),
    "invalid-http": Kind(400, "This is not valid HTTP"),
    "not-found": Kind(404, "There is nothing at this address"),
    "unknown-model": Kind(404, "This model is not served here"),
    "method-not-allowed": Kind(405, "This address does not take this method"),
    "slow-body": Kind(408, "The body took too long to arrive"),
    "slow-headers": Kind(408, "The request took too long to begin"),
    "body-too-large": Kind(413, "The body is too large"),
    "too-many-items": Kind(413, "The request holds too many items"),
    "too-long": Kind(413, "The request holds too much text"),
    "unsupported-media-type": Kind(415, "The body is not declared as plain JSON"),
    "invalid-request": Kind(422, "The request has the wrong shape"),
    "unreadable-input": Kind(422, "Some of the input cannot be read"),
    "queue-full": Kind(429, "The service has too much to do"),
    "headers-too-large": Kind(431, "The request's address and headers are too large"),
    "internal": Kind(500, "The service failed"),
    "stopping": Kind(503, "The service is not taking requests"),
    "deadline-passed": Kind(503, "The deadline passed before the answer was ready"),
}
ANYWHERE = ("invalid-http", "slow-headers", "headers-too-large", "internal")
"""Kinds that a request may meet at any address."""


class Problem(Exception):
    """A request that cannot be answered. ``kind`` is a key of KINDS, ``detail`` says what is wrong and what would mend it.

    ``retry_after`` is in seconds; ``members`` are extension members of the document.
    """

    def __init__(
        self, kind: str, detail: str, *, retry_after: int | None = None, headers: Mapping[str, str] | None = None, **members: object
    ) -> None:
        super().__init__(kind)
        self.kind = kind
        self.detail = detail
        self.headers = {**(headers or {}), **({} if retry_after is None else {"Retry-After": str(retry_after)})}
        self.members = members

    def response(self, request_id: str) -> Response:
        """The problem document."""
        status, title = KINDS[self.kind]
        document = {"type": TYPE_PREFIX + self.kind, "title": title, "status": status, "detail": self.detail, "request_id": request_id}
        return Response(json.dumps(document | self.members, allow_nan=False), status, self.headers, MEDIA_TYPE)


def as_problem(error: Exception) -> Problem:
    """The problem that any exception is to its client. An unexpected one tells nothing of itself."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):  # the router's own: an unknown address, a wrong method
        kind = next((name for name, kind in KINDS.items() if kind.status == error.status_code), "internal")
        return Problem(kind, "See /openapi.json for the addresses and their methods.", headers=error.headers)
    if isinstance(error, RequestValidationError):  # a header; the framework's own report would hold its value
        found = [f"{' '.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        return Problem("invalid-request", "; ".join(found))
    return Problem("internal", "An unexpected error; the service's log names it under this request_id.")


def install(app: FastAPI) -> None:
    """Answer problems, the framework's own errors and departed clients by this module."""
    for kind in (Problem, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _answer)
    app.add_exception_handler(ClientDisconnect, _gone)


def _answer(request: Request, error: Exception) -> Response:
    return as_problem(error).response(request.state.request_id)


def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=CLIENT_GONE)
