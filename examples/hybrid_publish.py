"""Tells subscribers of the channel `payments` now and consumers of a Pulsar topic for sure, by one call each.

It needs a Valkey client and the package headrace, whose worker image has both; hybrid-publish.yaml is its bridge:

    VALKEY_URL=valkey://localhost:6379/0 python hybrid_publish.py o-1 o-2
"""

import os
import sys
from datetime import UTC, datetime

import valkey

from headrace.bridge import hybrid_publish


def main(orders: list[str]) -> None:
    """Say that each of *orders* is paid. To say it twice does no harm: the message id tells."""
    client = valkey.Valkey.from_url(os.environ.get("VALKEY_URL", "valkey://localhost:6379/0"))
    for order in orders:
        done = hybrid_publish(
            client,
            {"order_id": order, "state": "paid"},
            channel="payments",
            outbox="payments:outbox",
            key=order,
            event_time=datetime.now(UTC),
            message_id=f"{order}/paid",
        )
        sys.stdout.write(f"{order}: {f'{done.receivers} heard it' if done.queued else 'was said before'}\n")


if __name__ == "__main__":
    main(sys.argv[1:] or ["o-1"])
