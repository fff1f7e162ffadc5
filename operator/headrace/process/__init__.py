"""What every process of the worker image has: configuration, secrets, JSON logs, probes, metrics, a staged stop."""
