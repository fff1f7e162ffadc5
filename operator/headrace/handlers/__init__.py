"""Plain handlers: what the modes PubSub, Polling and Stream of a ValkeyWorker run. See ``docs/worker-modes.md``."""
