"""The plan of a ValkeyWorker. Pure and total."""

from datetime import datetime

from headrace.api.celery_broker import BrokerType
from headrace.api.resource import InvalidResourceError, parse
from headrace.api.status import ConditionType
from headrace.api.valkey_worker import ValkeyWorker
from headrace.api.worker_modes import Mode
from headrace.reconcile.children import plan_children
from headrace.reconcile.desires import desired_children
from headrace.reconcile.outcome import Outcome, conclude, first_sight, status_of, unparsable
from headrace.reconcile.plan import Plan
from headrace.reconcile.snapshot import Snapshot
from headrace.reconcile.valkey_safety import safety_findings
from headrace.reconcile.workload_outcome import (
    connection_findings,
    hold_for_secrets,
    workload_fields,
    workload_findings,
)

_REQUIRED = (ConditionType.CONNECTIONS_READY, ConditionType.WORKLOAD_READY)


def plan_valkey_worker(snapshot: Snapshot, now: datetime) -> Plan:
    """What to do for the worker in *snapshot*."""
    try:
        worker = parse(ValkeyWorker, snapshot.body)
        desired = desired_children(worker, snapshot.inputs)
    except InvalidResourceError as error:
        return unparsable(snapshot, error, now)
    if not status_of(snapshot.body):
        return first_sight(snapshot, now)
    children = plan_children(snapshot, desired, hold=hold_for_secrets(snapshot))
    problems = (*snapshot.problems, *children.problems)
    plan = Plan(
        status={},
        apply=children.apply,
        delete=children.delete,
        events=children.events,
        problems=problems,
    )
    numbers = snapshot.numbers
    fields = {
        **workload_fields(worker, snapshot),
        "inFlight": numbers.in_flight,
        "outbox": numbers.outbox,
        "queues": [{"name": name, "waiting": waiting} for name, waiting in numbers.queues] or None,
    }
    findings = [
        *connection_findings(problems, _answers(worker)),
        *safety_findings(numbers.valkey, celery=worker.spec.mode is Mode.CELERY),
        *workload_findings(worker, snapshot, problems, children.apply),
    ]
    return conclude(snapshot, Outcome(findings, _REQUIRED, _running(worker), worker.spec.suspend, fields), plan, now)


def _answers(worker: ValkeyWorker) -> str:
    """Who answers when all is well."""
    kind = worker.broker.type
    return f"Valkey and {kind} answer" if kind in (BrokerType.RABBITMQ, BrokerType.SQS) else "Valkey answers"


def _running(worker: ValkeyWorker) -> str:
    if worker.spec.pub_sub is None:
        return "The workers run"
    return "The workers run; what is published on the channels while no pod listens is lost"
