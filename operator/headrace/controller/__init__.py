"""The process: watches (kopf), the queue, the lease, probes and metrics. The only package that imports kopf."""
