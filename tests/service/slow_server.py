"""The service as a process of its own, with an encoder that takes its time: ``python -m tests.service.slow_server SECONDS``."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from unittest.mock import patch

from classifier.encoders import ENCODERS, Floats
from classifier.encoders.hashing import HashingEncoder
from service.app import run
from service.settings import Settings


class SlowEncoder(HashingEncoder):
    def states(self, ids: Sequence[int]) -> Floats:
        time.sleep(float(sys.argv[1]))
        return super().states(ids)


if __name__ == "__main__":
    with patch.dict(ENCODERS, {"hashing": lambda folder: SlowEncoder()}):
        run(Settings(**{}))
