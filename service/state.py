"""What all requests share: the loaded model, the bodies in memory, the metrics, and whether new requests are welcome."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from service.engine import Engine, stopping
from service.intake import Bodies
from service.metrics import Metrics
from service.settings import Settings


class Service:
    """One application's state; touched by the event loop alone."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.bodies = Bodies(settings)
        self.engine: Engine | None = None
        self._active = 0
        self._stop_by: float | None = None

    @property
    def stopping(self) -> bool:
        """Whether the service was told to stop."""
        return self._stop_by is not None

    def ready(self) -> Engine:
        """The engine. Raises Problem where the model is not loaded yet, or the service stops."""
        if self.engine is None or self.stopping:
            raise stopping()
        return self.engine

    @contextmanager
    def admit(self) -> Iterator[Engine]:
        """Hold the service open for one request. Raises Problem as ``ready``."""
        engine = self.ready()
        self._active += 1
        try:
            yield engine
        finally:
            self._active -= 1

    def stop(self) -> None:
        """Refuse new requests, and let the running ones go on for the grace period."""
        self._stop_by = time.monotonic() + self.settings.grace_seconds

    def drained(self) -> bool:
        """Whether the service was told to stop and may: nothing is running, or its grace is over, which ends it."""
        if self._stop_by is None or (self._active and time.monotonic() < self._stop_by):
            return False
        if self._active and self.engine:
            self.engine.close()
        return True
