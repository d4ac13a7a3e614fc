"""The outermost layer: names each request, counts and times it, and turns an unexpected error into a problem."""

from __future__ import annotations

import logging
import re
import time
import traceback
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics import Metrics
from service.problems import CLIENT_GONE, as_problem

REQUEST_ID = "x-request-id"
_USABLE_ID = re.compile(r"[!-~](?:[ -~]{0,126}[!-~])?")
_log = logging.getLogger(__name__)


class Edge:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; other kinds of connection pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope.setdefault("state", {})["request_id"] = _request_id(scope)
        status, started = 0, time.perf_counter()

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_named)
        except Exception as error:
            _report(error, request_id)
            if status:  # half of an answer is out: only breaking the connection tells the client
                raise
            await as_problem(error).response(request_id)(scope, receive, send_named)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.request(route, status or CLIENT_GONE, time.perf_counter() - started)


def _request_id(scope: Scope) -> str:
    """The client's own id where it is printable ASCII of at most 128 characters, else a new one."""
    given = Headers(scope=scope).get(REQUEST_ID, "")
    return given if _USABLE_ID.fullmatch(given) else uuid.uuid4().hex


def _report(error: Exception, request_id: str) -> None:
    """Log an unexpected error without its message, which may quote a transcript."""
    where = "".join(traceback.format_tb(error.__traceback__))
    _log.error("request %s failed with %s\n%s", request_id, type(error).__name__, where)
