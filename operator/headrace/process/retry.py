"""When to try again."""

from __future__ import annotations

import random

from headrace.api.policy import Retry


def wait_seconds(retry: Retry, attempt: int) -> float:
    """How long to wait after failed *attempt* (1 is the first)."""
    ceiling = retry.backoff.longest_seconds(attempt)
    return random.uniform(ceiling / 2, ceiling) if retry.backoff.jitter else ceiling
