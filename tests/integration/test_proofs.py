"""A loop at rest proves that it could work: what Valkey would refuse it is seen before there is anything to move."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from headrace.bridge.delivered_ids import DeliveredIds
from headrace.bridge.delivery import DeliveryStore
from headrace.bridge.scripts import proof
from headrace.bridge.target import Target
from headrace.process.needs import Need, Needs
from testbed.valkey import Valkey
from tests.integration import bridge_script_cases as bridge
from tests.integration import handler_script_cases as handlers
from tests.integration.refusal_bed import Act, Bed, Case, refusals

RAISED = ("Error: ", "OSError: ")
OF_A_PARTITION = f"{bridge.P}:delivered:topic"
"""Nobody knows of it before something came of its topic."""


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield Bed(server)


def store(target: Target, spread: bool, keyed: bool, client: Any) -> DeliveryStore:
    return DeliveryStore(
        client, bridge.remembered(client), target=target, prefix=bridge.P, window_seconds=100, ttl_seconds=100,
        cache_prefix="cache:" if keyed else "", keyed=keyed, spread=spread, bucket=bridge.bucket(True),
    )  # fmt: skip


def deliver(target: Target, spread: bool, keyed: bool, client: Any) -> None:
    found = store(target, spread, keyed, client)
    found.load()  # as it is opened
    found.prove()


def put(client: Any) -> None:
    keys = [f"{bridge.P}:received", f"{bridge.P}:received-state", f"{bridge.P}:owner"]
    proof(client, "preflight", "put")(keys=keys, args=["token", "marks", "", "", 0, 0])


def lift(client: Any) -> None:
    DeliveredIds(client, bridge.remembered(client)).prove()


def settle(kind: str, client: Any) -> str:
    return handlers.reservations(client, kind).prove()


def renew(kind: str, client: Any) -> None:
    handlers.reservations(client, kind).renew([])


NEEDS = [
    Need("list", "list", ("LPUSH", "list", "")),
    Need("hash", "hash", ("HSET", "hash", "", "")),
    Need("channel", "", ("PUBLISH", "channel", "")),
]


def needed(client: Any) -> None:
    pipeline = client.pipeline(transaction=False)
    pipeline.lpush("list", "a").hset("hash", "a", "b").publish("channel", "a").execute()


def cases() -> Iterator[tuple[Case, Act]]:
    by_name = {case.name: case for case in [*bridge.CASES, *handlers.CASES]}
    for name, target in bridge.TARGETS.items():
        for spread in (False, True):
            for keyed, how in ((True, "with keys"), (False, "plain")):
                case = by_name[f"deliver to a {name}, {'spread' if spread else 'ordered'}, {how}"]
                yield case, partial(deliver, target, spread, keyed)
    for kind in handlers.KINDS:
        yield by_name[f"settle what a {kind} held"], partial(settle, kind)
        yield by_name[f"renew what a {kind} held"], partial(renew, kind)
    yield by_name["put what channels sent"], put
    yield by_name["lift the watermark"], lift
    yield Case("needs", lambda _: None, needed), lambda client: Needs(client, NEEDS, in_full=False).prove()


CASES = list(cases())


@pytest.mark.parametrize(("case", "prove"), CASES, ids=[case.name for case, _ in CASES])
def test_p8_what_would_be_refused_is_seen_at_rest(bed: Bed, case: Case, prove: Act) -> None:
    seen = bed.record(case)
    done = bed.state()
    bed.fresh(case)
    before = bed.state()
    asking = Case(case.name, case.prepare, prove)
    assert bed.run(asking) == "", "nothing is refused"
    assert bed.state() == before, "nothing is written"
    kinds = case.types | {(key, value[0]) for state in (done, before) for key, value in state.items() if key}
    unseen, refused = [], 0
    for refusal in refusals(seen, kinds):
        bed.fresh(case)
        refusal.begin(bed)
        told = bed.run(case)
        if not any(word in told for word in RAISED) or refusal.key == OF_A_PARTITION:
            continue  # at most single messages are refused
        refused += 1
        bed.fresh(case)
        refusal.begin(bed)
        if not bed.run(asking):
            unseen.append(f"{refusal.name}: {told}")
    assert refused, "something can be refused"
    assert not unseen, "\n".join([f"{len(unseen)} refusals are not seen at rest:", *unseen])
