"""Settings of the service, from arguments or from ``MOTIVES_...`` in the environment."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024

PREFIX = "MOTIVES_"
_ELSEWHERE = ("models",)  # what cli.py reads by itself

Count = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(BaseSettings):
    """Where to listen, what to serve, and how much one request may ask for. Raises pydantic's ValidationError for a bad value."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    model: Path
    """Folder of the model."""
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    log_level: Literal["critical", "error", "warning", "info", "debug"] = "info"
    access_log: bool = False

    encoder_threads: Count = 2
    max_body_bytes: Count = 8 * MIB
    max_held_bytes: Count = 32 * MIB
    """Bodies of all requests together: decoded, a body may take twenty times its size."""
    max_json_depth: Count = 64
    max_items: Count = 256
    max_characters_per_item: Count = 1_000_000
    """Known before anything is tokenised, unlike the number of tokens."""
    max_tokens_per_item: Count = 200_000
    max_tokens_per_request: Count = 400_000
    max_queued_windows: Count = 4096
    deadline_seconds: Seconds = 60.0
    """From the body's last byte to the answer; a client may lower it by ``X-Deadline-Seconds``."""
    body_seconds: Seconds = 30.0
    """How long a client may take to send its headers, and then its body."""
    grace_seconds: Seconds = 30.0
    """How long running requests may go on once the service has been told to stop."""

    def limits(self) -> dict[str, Any]:
        """What a client has to stay within, as published by ``/info``."""
        return {name: value for name, value in self.model_dump().items() if name.startswith("max_") or name.endswith("_seconds")}


def misspelt(environment: Iterable[str]) -> list[str]:
    """A line on each variable that looks like a setting and is none, with the one that it may be meant to be."""
    known, lines = [*Settings.model_fields, *_ELSEWHERE], []
    for variable in sorted(environment):
        name = variable.upper().removeprefix(PREFIX).lower()
        if variable.upper().startswith(PREFIX) and name not in known:
            nearest = get_close_matches(name, known, 1)
            lines.append(f"{variable} is no setting" + "".join(f": did you mean {PREFIX}{like.upper()}?" for like in nearest))
    return lines
