"""What a builder needs beyond the resource itself."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Inputs:
    """Facts about the installation and the cluster, gathered by the caller."""

    worker_image: str
    """Image of the shared worker, for resources that name none."""
    secrets_hash: str
    """Hash over the contents of the Secrets that the resource refers to; pods roll when it changes."""
    monitoring: bool
    """Whether the CRDs of PodMonitor and PrometheusRule are installed."""
