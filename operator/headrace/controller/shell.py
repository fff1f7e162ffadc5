"""kopf, as a watcher and nothing else: no state, no annotations, no finalizers, no peering, no events of its own."""

import asyncio
import dataclasses
import os
import platform
from collections.abc import Callable
from typing import Any, cast

import kopf

from headrace.api.resource import GROUP
from headrace.controller.connect import in_cluster
from headrace.controller.settings import Settings
from headrace.controller.watch import CHILD_SELECTOR, Watch
from headrace.reconcile.kinds import CHILDREN, MONITORING, POD, RESOURCES, SECRET

_WATCHED = (*RESOURCES, *CHILDREN, *MONITORING, POD, SECRET)


def build_registry(watch: Watch) -> kopf.OperatorRegistry:
    """The handlers: one for all kinds, which takes the event in and returns None."""
    registry = kopf.OperatorRegistry()

    async def take(event: Any, **_: Any) -> None:
        watch.take(event["type"], event["object"])

    for kind in _WATCHED:
        kopf.on.event(kind.group, kind.version, kind.plural, registry=registry)(take)
    kopf.on.login(registry=registry)(_login)
    return registry


def build_settings(settings: Settings) -> kopf.OperatorSettings:
    """kopf's settings."""
    made = kopf.OperatorSettings()
    made.peering.standalone = True
    made.posting.enabled = False
    # kopf takes its own finalizer off every object it sees: it must not be one that anybody uses.
    made.persistence.finalizer = f"{GROUP}/never-used"
    made.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=f"kopf.{GROUP}")
    made.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=f"kopf.{GROUP}")
    made.networking.request_timeout = 30
    made.networking.connect_timeout = 10
    # Three hours: an API server that is away must not end the operator, which would only start into the same.
    made.networking.error_backoffs = (1, 1, 2, 3, 5, 8, *[10] * 1000)
    # A watch ends by itself before anything in between calls it idle, and is dead without a bookmark for 70 s.
    made.watching.server_timeout = 600
    made.watching.client_timeout = 660
    made.watching.connect_timeout = 10
    made.watching.inactivity_timeout = 70
    made.watching.chunk_size = 500
    for kind in (*CHILDREN, *MONITORING, POD):
        made.watching.label_selectors[kind.group, kind.version, kind.plural] = CHILD_SELECTOR
    # Helm keeps each release's whole manifest in a Secret that nobody refers to.
    made.watching.field_selectors[SECRET.group, SECRET.version, SECRET.plural] = "type!=helm.sh/release.v1"
    made.queueing.exit_timeout = 0.5
    made.queueing.idle_timeout = 1.0
    made.process.ultimate_exiting_timeout = 20
    # Roles in single namespaces let nobody list namespaces or CRDs.
    made.scanning.disabled = bool(settings.namespaces)
    return made


async def watch_for_ever(
    watch: Watch, settings: Settings, *, on_started: Callable[[], None], stop: asyncio.Event
) -> None:
    """Run kopf until *stop*. Returns when stopped, raises what kopf raises.

    *on_started* is called when kopf has taken the process's signals, so that they can be taken back.
    """
    others = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=build_registry(watch),
        settings=build_settings(settings),
        # kopf's own name for itself asks for the user's, and user 65532 has none in the image.
        identity=cast(Any, platform.node()),
        standalone=True,
        clusterwide=not settings.namespaces,
        namespaces=settings.namespaces,
        stop_flag=stop,
    )
    on_started()
    await kopf.run_tasks(tasks, ignored=others)


def _login(**context: Any) -> kopf.ConnectionInfo | None:
    """The way in that :func:`headrace.controller.connect.connect` takes."""
    if not in_cluster():
        return kopf.login_with_kubeconfig(**context)
    found = kopf.login_with_service_account(**context)
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if found is None or not host:
        return found
    # By address: the operator must not depend on the cluster's DNS.
    return dataclasses.replace(found, server=f"https://{f'[{host}]' if ':' in host else host}:{port}")
