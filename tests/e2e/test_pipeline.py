"""The main job: a HybridPipeline on a real cluster, from Pulsar through Celery back to Pulsar."""

import json
import time
from collections.abc import Iterator

import pytest

from tests.e2e.cluster import Cluster, wait_until
from tests.e2e.manifests import pipeline

NAME = "shop"
EVENTS, RESULTS = f"persistent://e2e/{NAME}/orders", f"persistent://e2e/{NAME}/priced"
DEAD = f"{EVENTS}-pricing-DLQ"


@pytest.fixture(scope="module")
def shop(namespace: Cluster) -> Iterator[Cluster]:
    namespace.apply(pipeline(NAME))
    namespace.wait_condition("hpl", NAME, "Ready")
    yield namespace
    namespace.delete("hpl", NAME)


def ids(messages: list[dict[str, str]]) -> list[str]:
    return [json.loads(message["payload"])["order_id"] for message in messages]


def test_p1_p2_every_event_gives_one_result_or_one_dead_letter(shop: Cluster) -> None:
    """Redelivered, repeated, refused, failing and unreadable events, with a bridge pod killed on the way."""
    good = [{"order_id": f"good-{number}"} for number in range(300)]
    refused = [{"order_id": f"refused-{number}", "refuse": True} for number in range(3)]
    failing = [{"order_id": "failing", "fail": True}]
    before = [len(shop.read(RESULTS)), len(shop.read(DEAD))]
    shop.publish(EVENTS, [*good[:150], *refused, "this is not JSON", '{"no": "key"}', *failing])
    shop.kubectl(
        "delete", "pod", "-l", f"headrace.dev/name={NAME}-ingest", "--grace-period=0", "--force", "--wait=false"
    )
    shop.publish(EVENTS, [*good[150:], *good[:20]])
    wait_until(lambda: len(shop.read(RESULTS)) >= before[0] + 300, "300 results")
    wait_until(lambda: len(shop.read(DEAD)) >= before[1] + 6, "6 dead letters")
    results, dead = shop.read(RESULTS), shop.read(DEAD)
    assert sorted(ids(results)) == sorted(order["order_id"] for order in good)
    reasons = sorted(message["properties"]["HEADRACE_REASON"] for message in dead)
    assert reasons == ["InvalidJSON", "KeyMissing", "Refused", "Refused", "Refused", "TaskFailed"]
    by_reason = {message["properties"]["HEADRACE_REASON"]: message for message in dead}
    assert by_reason["InvalidJSON"]["payload"] == "this is not JSON"
    assert by_reason["Refused"]["properties"]["HEADRACE_ERROR"] == "the order is not for sale"
    assert by_reason["TaskFailed"]["properties"]["HEADRACE_ATTEMPTS"] == "2"
    assert by_reason["Refused"]["properties"]["REAL_TOPIC"] == EVENTS


def test_m21_kubectl_get_answers_what_people_ask(shop: Cluster) -> None:
    """Is it working, how much is waiting, what failed."""
    wait_until(lambda: shop.get("hpl", NAME)["status"].get("deadLetters") == 6, "dead letters are counted")
    wait_until(lambda: shop.get("hpl", NAME)["status"].get("backlog") == 0, "the last ones are counted as worked off")
    row = dict(zip(*(line.split() for line in shop.kubectl("get", "hpl", NAME).splitlines()), strict=False))
    assert (row["READY"], row["BACKLOG"], row["DEAD"]) == ("True", "0", "6")
    stages = shop.get("hpl", NAME)["status"]["stages"]
    assert [(stage["name"], stage["ready"]) for stage in stages] == [
        ("ingest", True),
        ("process", True),
        ("results", True),
    ]
    listing = shop.kubectl("get", "headrace")
    for child in (f"{NAME}-ingest", f"{NAME}-process", f"{NAME}-results"):
        assert child in listing


def test_m8_cache_holds_the_payload(shop: Cluster) -> None:
    assert json.loads(shop.valkey("GET", f"{NAME}:good-7")) == {"order_id": "good-7"}


def test_p3_at_rest_nothing_is_written(shop: Cluster) -> None:
    """No object of ours gets a new resourceVersion over two refreshes of the live numbers (30 s each)."""
    kinds = "hpl,vkw,pbr,deployment,configmap,service,poddisruptionbudget"
    seen: dict[str, str] = {}
    changed: list[str] = []
    rest_began = time.monotonic()

    def rested() -> bool:
        nonlocal rest_began
        for item in json.loads(shop.kubectl("get", kinds, "-o", "json"))["items"]:
            name, version = f"{item['kind']}/{item['metadata']['name']}", item["metadata"]["resourceVersion"]
            if seen.get(name) != version:
                changed.append(name)
                seen[name], rest_began = version, time.monotonic()
        return time.monotonic() - rest_began > 65

    try:
        wait_until(rested, "65 s without a write", seconds=150)
    except AssertionError as error:
        raise AssertionError(f"{error}; written: {changed}") from None


def test_suspend_stops_the_pods_and_keeps_the_events(shop: Cluster) -> None:
    shop.kubectl("patch", "hpl", NAME, "--type=merge", "-p", '{"spec":{"suspend":true}}')
    wait_until(
        lambda: not shop.objects("pods", f"headrace.dev/name in ({NAME}-ingest,{NAME}-process,{NAME}-results)"),
        "no pods",
    )
    shop.wait_condition("hpl", NAME, "Suspended")
    shop.publish(EVENTS, [{"order_id": "while-suspended"}])
    shop.kubectl("patch", "hpl", NAME, "--type=merge", "-p", '{"spec":{"suspend":null}}')
    shop.wait_condition("hpl", NAME, "Ready")
    wait_until(lambda: "while-suspended" in ids(shop.read(RESULTS)), "the event of the suspended time")


def test_drift_is_repaired(shop: Cluster) -> None:
    """A deleted child comes back; an edited field of ours is put right; a foreign annotation stays."""
    deployment = f"{NAME}-process-worker"
    shop.kubectl("annotate", "deployment", deployment, "example.com/mine=yes")
    shop.kubectl("delete", "service", f"{NAME}-ingest-bridge")
    shop.kubectl("scale", "deployment", deployment, "--replicas=0")
    wait_until(lambda: shop.get("service", f"{NAME}-ingest-bridge"), "the Service is back")
    wait_until(lambda: shop.get("deployment", deployment)["spec"]["replicas"] == 1, "replicas are put right")
    assert shop.get("deployment", deployment)["metadata"]["annotations"]["example.com/mine"] == "yes"
    shop.wait_condition("hpl", NAME, "Ready")


def test_deleting_a_pipeline_removes_its_children_and_keeps_its_topics(namespace: Cluster) -> None:
    namespace.apply(pipeline("short"))
    namespace.wait_condition("hpl", "short", "Ready")
    namespace.publish("persistent://e2e/short/orders", [{"order_id": "one"}])
    wait_until(lambda: namespace.read("persistent://e2e/short/priced"), "the result")
    namespace.delete("hpl", "short")
    kinds = "vkw,pbr,deployment,configmap,service"
    wait_until(lambda: "/short" not in namespace.kubectl("get", kinds, "-o", "name"), "no children of the pipeline")
    assert ids(namespace.read("persistent://e2e/short/priced")) == ["one"]
