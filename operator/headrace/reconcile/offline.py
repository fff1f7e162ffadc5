"""``headrace plan -f``: the same plan without a cluster, for people and for CI."""

from datetime import UTC, datetime
from typing import Any

import yaml

from headrace.api.pulsar_bridge import PulsarBridge
from headrace.api.resource import API_VERSION, InvalidResourceError, parse
from headrace.desired.inputs import Inputs
from headrace.pulsar.facts import NamespaceFacts, PulsarFacts
from headrace.pulsar.wanted import wanted
from headrace.reconcile.desires import desired_children
from headrace.reconcile.kinds import MODELS
from headrace.reconcile.outcome import status_of
from headrace.reconcile.passes import PLANNERS
from headrace.reconcile.snapshot import Snapshot

_INPUTS = Inputs(worker_image="headrace-worker", secrets_hash="offline", monitoring=True)
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def plan(body: dict[str, Any]) -> str:
    """What the operator would make of *body*, as YAML: the objects, below comments on Pulsar, status and problems.

    It assumes that the Secrets exist, that the brokers answer and hold no topic yet, and that the Prometheus operator
    is installed. Errors in the resource are part of the answer. Raises ValueError for a kind that is not ours.
    """
    kind = str(body.get("kind"))
    if kind not in MODELS:
        raise ValueError(f"kind must be one of {', '.join(MODELS)}, not {kind}")
    given = body.get("metadata")
    metadata = {"namespace": "default", "uid": "offline", **(given if isinstance(given, dict) else {})}
    seen = {**body, "apiVersion": API_VERSION, "metadata": metadata, "status": {"observedGeneration": 0}}
    try:
        resource = parse(MODELS[kind], seen)
        objects = desired_children(resource, _INPUTS)
    except InvalidResourceError:
        resource, objects = None, ()
    facts = _empty_pulsar(resource) if isinstance(resource, PulsarBridge) else None
    made = PLANNERS[kind](Snapshot(body=seen, inputs=_INPUTS, pulsar=facts), _BEGINNING)
    comments = [f"# {kind} {metadata['namespace']}/{metadata.get('name')}"]
    comments.append("# On the first pass, when the Secrets are there and the brokers answer and hold no topic yet:")
    comments += [f"# Problem: {problem}" for problem in made.problems]
    comments += [f"# Pulsar: {action}" for action in made.pulsar]
    for each in status_of({"status": made.status}).get("conditions", ()):
        comments.append(f"# {each['type']}={each['status']} {each['reason']}: {each['message']}")
    text = yaml.safe_dump_all(objects, sort_keys=False, explicit_start=True) if objects else ""
    return "\n".join(comments) + "\n" + text


def _empty_pulsar(bridge: PulsarBridge) -> PulsarFacts:
    """A Pulsar that has the namespaces which *bridge* does not make itself, and no topic."""
    needs = wanted(bridge)
    places = {topic.namespace for topic in needs.topics} - set(needs.namespaces)
    there = {name: NamespaceFacts(exists=True) for name in sorted(places)}
    return PulsarFacts(namespaces=there)
