"""The connection to the API server: a kubeconfig that ``KUBECONFIG`` names, else the pod's service account, else the
user's own kubeconfig."""

import os
from pathlib import Path

from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from headrace import __version__

SERVICE_ACCOUNT_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


class NoClusterError(Exception):
    """Nothing says where the cluster is."""


def in_cluster() -> bool:
    """Whether the pod's service account is the way in."""
    return not os.environ.get("KUBECONFIG") and SERVICE_ACCOUNT_TOKEN.exists()


async def connect() -> ApiClient:
    """A client for the cluster. Raises NoClusterError."""
    configuration = Configuration()
    try:
        if in_cluster():
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            await load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError) as error:
        raise NoClusterError(f"No cluster: set KUBECONFIG, or run in a pod ({error})") from None
    client = ApiClient(configuration)
    client.user_agent = f"headrace-operator/{__version__}"
    return client
