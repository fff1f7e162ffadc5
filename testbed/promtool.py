"""Prometheus' tool that checks and tests alert rules."""

from pathlib import Path

from testbed import debian


def path() -> Path:
    """The promtool on PATH, else the one in Debian's `prometheus` package, which is unpacked and not installed."""
    return debian.unpacked("prometheus", "usr/bin/promtool")
