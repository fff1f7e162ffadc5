"""Moves messages between Valkey and Pulsar: nothing lost, nothing written twice. See ``docs/dataplane.md``."""
