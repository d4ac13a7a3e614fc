"""The outermost layer: names each request, counts and times it, and turns an unexpected error into a problem."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import traceback
import uuid
from contextlib import suppress

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.connection import HEADERS_LIMIT, LINGER_SECONDS, REQUEST_ID, headers_too_large
from service.metrics import Metrics
from service.problems import CLIENT_GONE, Problem, as_problem

_USABLE_ID = re.compile(r"[!-~](?:[ -~]{0,126}[!-~])?")
_log = logging.getLogger(__name__)


class Edge:
    """ASGI middleware around the whole application. ``drained`` is how much is read at most of what is left of an answered request."""

    def __init__(self, app: ASGIApp, metrics: Metrics, drained: int) -> None:
        self._app, self._metrics, self._drained = app, metrics, drained

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; other kinds of connection pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] == "HEAD":  # answered as GET; the server, which has its own scope, leaves the body out
            scope = {**scope, "method": "GET"}
        request_id = scope.setdefault("state", {})["request_id"] = _request_id(scope)
        exchange, started = _Exchange(receive, send, request_id), time.perf_counter()
        try:
            _check_headers(scope)
            await self._app(scope, exchange.receive, exchange.send)
        except Exception as error:
            if not isinstance(error, Problem):
                _report(error, request_id)
            if exchange.status:  # half of an answer is out: only breaking the connection tells the client
                raise
            await as_problem(error).response(request_id)(scope, exchange.receive, exchange.send)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.request(route, exchange.status or CLIENT_GONE, time.perf_counter() - started)
        await exchange.end(self._drained)


class _Exchange:
    """A request and its answer as they pass. ``status`` is the answer's, 0 until it starts."""

    def __init__(self, receive: Receive, send: Send, request_id: str) -> None:
        self._receive, self._send, self._request_id = receive, send, request_id
        self.status = 0
        self._received = False  # whole, or its client left
        self._held = False

    async def receive(self) -> Message:
        """Pass a part of the request on."""
        message = await self._receive()
        self._received = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on, but not that it is complete while the request is not: the server could close on it."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message)[REQUEST_ID] = self._request_id
        elif not self._received and not message.get("more_body", False):
            self._held, message = True, {**message, "more_body": True}
        await self._send(message)

    async def end(self, limit: int) -> None:
        """Let the answer end, after up to ``limit`` bytes of what is left of the request: simple clients read only once they have sent."""
        if not self._held:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while not self._received and limit > 0:
                    limit -= len((await self.receive()).get("body", b""))
        await self._send({"type": "http.response.body", "body": b""})


def _check_headers(scope: Scope) -> None:
    """What came in one piece is here in spite of the connection's limit. Raises Problem."""
    size = len(scope.get("raw_path", b"")) + len(scope["query_string"]) + sum(len(name) + len(value) for name, value in scope["headers"])
    if size > HEADERS_LIMIT:
        raise headers_too_large()


def _request_id(scope: Scope) -> str:
    """The client's own id where it is printable ASCII of at most 128 characters, else a new one."""
    given = Headers(scope=scope).get(REQUEST_ID, "")
    return given if _USABLE_ID.fullmatch(given) else uuid.uuid4().hex


def _report(error: Exception, request_id: str) -> None:
    """Log an unexpected error without its message, which may quote a transcript."""
    where = "".join(traceback.format_tb(error.__traceback__))
    _log.error("request %s failed with %s\n%s", request_id, type(error).__name__, where)
