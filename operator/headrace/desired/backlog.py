"""How much waits before a worker or a bridge, as PromQL.

Several parties know, and an installation may scrape any of them: the pods, the operator, the Pulsar broker. The
largest figure counts: pods that hang report an old one, an operator that is down reports none, and the broker counts
entries, of which one may be a batch of many messages.
"""

from headrace.api.bridge_source import PulsarSource
from headrace.api.pulsar_bridge import PulsarBridge
from headrace.api.resource import Resource
from headrace.api.valkey_worker import ValkeyWorker
from headrace.api.worker_modes import Mode
from headrace.desired.pod_monitor import job_label
from headrace.desired.promql import largest, matches, matches_expression, selector
from headrace.desired.workload import Workload


def backlog(resource: Workload) -> str:
    """What waits at the source of *resource*: messages, list entries or tasks. One number, without labels."""
    if isinstance(resource, ValkeyWorker):
        celery = resource.spec.mode is Mode.CELERY
        waiting = queue_length(resource) if celery else own("headrace_worker_backlog", resource)
        return largest(waiting, reported("headrace_resource_backlog", resource))
    known = [own("headrace_bridge_backlog", resource), reported("headrace_resource_backlog", resource)]
    if resource.spec.source.pulsar:
        known.append(broker_sum("pulsar_subscription_back_log", resource.spec.source.pulsar))
    return largest(*known)


def consumers(bridge: PulsarBridge, source: PulsarSource) -> str:
    """How many consumers the source's subscription has. One number, without labels."""
    return largest(
        reported("headrace_resource_consumers", bridge), broker_sum("pulsar_subscription_consumers_count", source)
    )


def queue_length(worker: ValkeyWorker) -> str:
    """Tasks that wait in all queues; every pod reports every queue, so the pods are not added up."""
    return f"sum(max by (queue_name) ({scraped('celery_queue_length', worker)}))"


def own(metric: str, resource: Resource) -> str:
    """A series of *resource*'s pods that carries the resource's name."""
    return selector(metric, namespace=resource.metadata.namespace, name=resource.metadata.name)


def reported(metric: str, resource: Resource) -> str:
    """A series in which the operator reports on *resource*."""
    meta = resource.metadata
    return selector(metric, kind=resource.kind, namespace=meta.namespace, name=meta.name)


def scraped(metric: str, resource: Workload) -> str:
    """A series of *resource*'s pods under a foreign name, such as Celery's, where `name` means the task."""
    return selector(metric, namespace=resource.metadata.namespace, job=job_label(resource))


def broker_sum(metric: str, source: PulsarSource) -> str:
    """A series of the broker, over all topics and partitions; `max` because a broker may be scraped twice."""
    partition = "(-partition-[0-9]+)?"
    if source.topics_pattern:
        topic = matches_expression("topic", source.namespace, source.expression, then=partition)
    else:
        topic = matches("topic", *source.names, then=partition)
    return f"sum(max by (topic) ({selector(metric, topic, subscription=source.subscription)}))"
