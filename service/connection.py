"""One client's connection: uvicorn's protocol with limits on what it leaves unlimited, the size and the time of a request's headers."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.problems import Problem

HEADERS_LIMIT = 64 * 1024
"""Bytes of a request's address and headers together, and of whatever else is no body: between its chunks, or after it."""

LINGER_SECONDS = 2.0
"""For a client to send what is left of a refused request: a connection closed before that is reset, and the answer is lost with it."""

REQUEST_ID = "x-request-id"
_CLOSE = {"Connection": "close"}
_LINGER_BYTES = 16 * HEADERS_LIMIT


def headers_too_large() -> Problem:
    """The problem of a request that is over HEADERS_LIMIT."""
    return Problem("headers-too-large", f"They may hold at most {HEADERS_LIMIT:,} bytes.", headers=_CLOSE, limit=HEADERS_LIMIT)


class Connection(HttpToolsProtocol):
    """Answers headers that are too large, too slow or no HTTP with a problem, and closes. A connection without a request is closed too."""

    seconds: ClassVar[float]
    """For the headers to arrive."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._bytes = 0  # received since the last bytes of a body, or since a request's end
        self._refused = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Start to wait for a request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop to wait."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, unless the request was refused: what is left of that one is dropped."""
        self._bytes += len(data)
        if not self._refused:
            super().data_received(data)
            self._check()
        elif self._bytes > _LINGER_BYTES:
            self.transport.close()

    def on_headers_complete(self) -> None:
        """Start the request."""
        self._stop_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Bodies have limits of their own."""
        self._bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The next request counts anew."""
        self._bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Close if the request has not come in whole: its rest could go on for ever."""
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls where the parser fails."""
        broken = Problem("invalid-http", "It is broken, or of another protocol (HTTPS, HTTP/2): send HTTP/1.1.", headers=_CLOSE)
        self._refuse(headers_too_large() if self._bytes > HEADERS_LIMIT else broken)  # an address of so many bytes fails the parser

    @property
    def _busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _check(self) -> None:
        """Whether to go on, after bytes that were parsed."""
        if self.transport.is_closing() or self._refused:
            return
        if self._bytes > HEADERS_LIMIT:
            self._refuse(headers_too_large())
        elif not self._busy and self._timer is None:
            self._wait()

    def _wait(self) -> None:
        self._timer = self.loop.call_later(self.seconds, self._late)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        if self._bytes:
            self._refuse(Problem("slow-headers", f"They have to arrive within {self.seconds:g} seconds.", headers=_CLOSE))
        else:  # nothing was asked, so nothing is answered
            self.transport.close()

    def _refuse(self, problem: Problem) -> None:
        """Answer with a problem, and close once the client may have read it; at once where an earlier request is still running."""
        self.logger.info("A request was refused: %s", problem.kind)
        self.transport.write(self._written(problem))
        if self._busy:
            self.transport.close()
            return
        self._refused, self._bytes = True, 0
        self._stop_waiting()
        self._timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _written(self, problem: Problem) -> bytes:
        """The problem as bytes of HTTP: no application ever sees this request."""
        request_id = uuid.uuid4().hex
        response = problem.response(request_id)
        headers = [*self.server_state.default_headers, *response.raw_headers, (REQUEST_ID.encode(), request_id.encode())]
        lines = [b"%s: %s\r\n" % header for header in headers]
        return b"".join([STATUS_LINE[response.status_code], *lines, b"\r\n", response.body])
