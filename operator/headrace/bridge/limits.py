"""What a broker takes. For producers too: needs nothing but Python."""

from __future__ import annotations

MAX_MESSAGE_BYTES = 5 * 1024 * 1024
"""Pulsar's default `maxMessageSize`."""

MESSAGE_OVERHEAD_BYTES = 1024
"""Room for a message's own metadata inside the broker's limit."""

MAX_METADATA_CHARACTERS = 65_536
"""Most characters of key and properties. Pulsar splits payloads into chunks, but never these."""

CHARACTER_BYTES = 4
"""Most bytes of a character."""
