"""The process of a ValkeyWorker's pod."""
