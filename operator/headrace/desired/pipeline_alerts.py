"""The alerts of a HybridPipeline: what no stage can see alone.

Each stage is a resource of its own and has its own alerts, with the pipeline's thresholds and labels. So the pipeline
adds only what spans its stages, and nothing is said twice.
"""

from headrace.api.hybrid_pipeline import HybridPipeline
from headrace.api.pulsar_bridge import PulsarBridge
from headrace.api.valkey_worker import ValkeyWorker
from headrace.desired.alert import Alert
from headrace.desired.backlog import queue_length, reported
from headrace.desired.promql import largest, matches, seconds, selector

STALLED_SECONDS = 900
"""How long nothing may come out although something waits; a longest task that is longer is respected."""


def pipeline_alerts(
    pipeline: HybridPipeline, ingest: PulsarBridge, process: ValkeyWorker, results: PulsarBridge
) -> tuple[Alert, ...]:
    """The alerts of *pipeline*, whose stages are the other arguments; none while it is suspended."""
    if pipeline.spec.suspend:
        return ()
    meta = pipeline.metadata
    stages = matches("name", ingest.metadata.name, results.metadata.name)
    waiting = largest(
        selector("headrace_bridge_backlog", stages, namespace=meta.namespace),
        queue_length(process),
        reported("headrace_resource_backlog", pipeline),
    )
    window = seconds(max(STALLED_SECONDS, process.celery.time_limit_seconds or 0))
    published = selector("headrace_bridge_forwarded_total", namespace=meta.namespace, name=results.metadata.name)
    refused = selector("headrace_bridge_dead_letters_total", stages, namespace=meta.namespace)
    moved = f"(sum(increase({published}[{window}])) or vector(0)) + (sum(increase({refused}[{window}])) or vector(0))"
    return (
        Alert(
            name="HeadracePipelineStalled",
            severity="critical",
            expression=f"{waiting} > 0 unless {moved} > 0",
            for_seconds=300,
            summary=f"Nothing comes out of HybridPipeline {meta.namespace}/{meta.name}",
            description="{{ $value | humanize }} events wait before a stage; no result and no dead letter comes out.",
        ),
    )
