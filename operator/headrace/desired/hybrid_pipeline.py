"""All that a HybridPipeline wants of Kubernetes: three child resources, which make the rest.

The children are built as API models, so that a pipeline can never ask for a child that the API server refuses, and
they hold only what the user set, so that a default has one home.
"""

from collections.abc import Sequence
from typing import Any

from headrace.api.bridge_sink import CelerySink, PulsarSink, Sink, ValkeySink
from headrace.api.bridge_source import ListFormat, ListSource, PulsarSource, Source, ValkeySource
from headrace.api.celery_runtime import Celery, Queue
from headrace.api.hybrid_pipeline import HybridPipeline
from headrace.api.model import ApiModel
from headrace.api.pulsar_bridge import DeadLetterTopic, PulsarBridge, PulsarBridgeSpec
from headrace.api.resource import ObjectMeta
from headrace.api.topic import Topic
from headrace.api.valkey_worker import Outbox, ValkeyWorker, ValkeyWorkerSpec
from headrace.desired.inputs import Inputs
from headrace.desired.labels import child_metadata
from headrace.desired.names import child_name
from headrace.desired.pipeline_alerts import pipeline_alerts
from headrace.desired.prometheus_rule import build_prometheus_rule


def desired_objects(resource: HybridPipeline, inputs: Inputs) -> tuple[dict[str, Any], ...]:
    """The children of *resource*, complete, in the order in which to apply them: whoever takes comes first."""
    results, process, ingest = build_results(resource), build_process(resource), build_ingest(resource)
    objects = [_manifest(resource, child) for child in (results, process, ingest)]
    if inputs.monitoring:
        rule = build_prometheus_rule(
            resource,
            child_name(resource.metadata.name, "pipeline"),
            resource.spec.alerts,
            pipeline_alerts(resource, ingest, process, results),
        )
        objects += [rule] if rule else []
    return tuple(objects)


def outbox_key(resource: HybridPipeline) -> str:
    """The Valkey list between workers and results; the braces keep a resource's keys in one cluster slot."""
    return f"{resource.key_prefix}:outbox"


def build_ingest(resource: HybridPipeline) -> PulsarBridge:
    """The bridge from the ingest topic to the Celery queue. It makes the namespaces and all topics but the results'."""
    spec = resource.spec
    queue = CelerySink(task=spec.process.task, queue=spec.process.queue, **_set_fields(spec.process, "max_depth"))
    source = PulsarSource(
        topic=spec.ingest.topic,
        subscription=spec.ingest.subscription,
        **_set_fields(spec.ingest, "initial_position"),
    )
    return PulsarBridge(
        metadata=_child_meta(resource, "ingest"),
        spec=PulsarBridgeSpec(
            source=Source(pulsar=source),
            sink=Sink(valkey=ValkeySink(celery=queue)),
            valkey=spec.valkey,
            pulsar=spec.pulsar,
            dead_letter=DeadLetterTopic(topic=spec.dead_letter_topic),
            **_topics([topic for topic in spec.topics if topic.name != spec.results.topic]),
            **_set_fields(spec, "namespaces", "deduplicate", "cache", "alerts", "suspend"),
            **_set_fields(spec.ingest, "replicas", "pod"),
        ),
    )


def build_process(resource: HybridPipeline) -> ValkeyWorker:
    """The workers. Retries are always stated: a pipeline retries by default, a ValkeyWorker on its own does not."""
    spec = resource.spec
    worker = spec.process.worker
    celery = Celery(queues=(Queue(name=spec.process.queue),), **_set_fields(worker.celery))
    return ValkeyWorker(
        metadata=_child_meta(resource, "process"),
        spec=ValkeyWorkerSpec(
            valkey=spec.valkey,
            celery=celery,
            outbox=Outbox(key=outbox_key(resource), tasks=(spec.process.task,)),
            retry=spec.failures.retry,
            **_set_fields(spec, "alerts", "suspend"),
            **_set_fields(worker, "replicas", "termination_grace_period_seconds", "pod"),
        ),
    )


def build_results(resource: HybridPipeline) -> PulsarBridge:
    """The bridge from the outbox to the results topic, which it makes; failures go to the pipeline's dead letters.

    Both bridges start at once, and either may be the one that makes what they share. So the namespaces and the number
    of partitions of the dead-letter topic are declared in both, and its policies, which have an owner, in the first.
    """
    spec = resource.spec
    topics = [
        topic if topic.name == spec.results.topic else _without_policies(topic)
        for topic in spec.topics
        if topic.name in (spec.results.topic, spec.dead_letter_topic)
    ]
    outbox = ListSource(key=outbox_key(resource), format=ListFormat.OUTBOX)
    return PulsarBridge(
        metadata=_child_meta(resource, "results"),
        spec=PulsarBridgeSpec(
            source=Source(valkey=ValkeySource(list=outbox)),
            sink=Sink(pulsar=PulsarSink(topic=spec.results.topic, **_set_fields(spec.results, "compression"))),
            valkey=spec.valkey,
            pulsar=spec.pulsar,
            dead_letter=DeadLetterTopic(topic=spec.dead_letter_topic),
            **_topics(topics),
            **_set_fields(spec, "namespaces", "alerts", "suspend"),
            **_set_fields(spec.results, "replicas", "pod"),
        ),
    )


def _child_meta(resource: HybridPipeline, suffix: str) -> ObjectMeta:
    return ObjectMeta(name=child_name(resource.metadata.name, suffix), namespace=resource.metadata.namespace)


def _set_fields(model: ApiModel, *names: str) -> dict[str, Any]:
    """Those of the fields *names* (all, when none is named) that somebody set, ready to hand to another model."""
    chosen = names or tuple(type(model).model_fields)
    return {name: getattr(model, name) for name in chosen if name in model.model_fields_set}


def _topics(topics: Sequence[Topic]) -> dict[str, Any]:
    return {"topics": tuple(topics)} if topics else {}


def _without_policies(topic: Topic) -> Topic:
    return Topic(name=topic.name, **_set_fields(topic, "partitions"))


def _manifest(resource: HybridPipeline, child: PulsarBridge | ValkeyWorker) -> dict[str, Any]:
    return {
        "apiVersion": child.api_version,
        "kind": child.kind,
        "metadata": child_metadata(resource, child.metadata.name),
        "spec": child.spec.to_wire(),
    }
