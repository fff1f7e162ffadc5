"""A program that publishes numbers without end, from FIRST on: `python -m tests.integration.publishing PORT FIRST`.

It prints each number once the call has answered, so that whoever kills it knows where to go on.
"""

import itertools
import sys

import valkey

from headrace.bridge import hybrid_publish

CHANNEL, OUTBOX = "news", "news:outbox"

if __name__ == "__main__":
    client = valkey.Valkey(port=int(sys.argv[1]))
    for number in itertools.count(int(sys.argv[2])):
        hybrid_publish(client, str(number).encode(), channel=CHANNEL, outbox=OUTBOX, message_id=str(number))
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
