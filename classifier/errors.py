"""What goes wrong and can be mended by whoever runs a command: everything else that is raised is a defect of ours."""

from __future__ import annotations


class Mendable(ValueError):
    """Its text names the place and the remedy. ``value`` is what stood there, where that helps; it may be part of a transcript."""

    value: str | None = None
