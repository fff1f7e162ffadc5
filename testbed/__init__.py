"""A real one-node Kubernetes, Valkey and Pulsar on this machine, for the tests and the demo."""
