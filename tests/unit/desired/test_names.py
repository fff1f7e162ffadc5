"""Names of children, for any name that Kubernetes lets a resource have."""

import re

from hypothesis import given
from hypothesis import strategies as st

from headrace.desired.labels import child_labels, pod_selector, selector_string
from headrace.desired.names import child_name, label_value
from tests.unit.desired.cases import load

_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
names = st.from_regex(_SUBDOMAIN, fullmatch=True).filter(lambda name: len(name) <= 253)
long_names = st.tuples(st.text("abc-.", max_size=60), st.integers(0, 190)).map(lambda t: "a" + "b" * t[1] + t[0] + "z")
suffixes = st.sampled_from(["worker", "bridge", "process", "ingest", "results", "pipeline"])


@given(names | long_names, suffixes)
def test_a_child_name_is_a_dns_label_that_begins_with_a_letter(name: str, suffix: str) -> None:
    child = child_name(name, suffix)
    assert len(child) <= 63
    assert re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", child)
    assert child.endswith(f"-{suffix}")


@given(names | long_names, names | long_names, suffixes)
def test_p7_two_resources_never_share_a_child(first: str, second: str, suffix: str) -> None:
    assert (child_name(first, suffix) == child_name(second, suffix)) == (first == second)


@given(names | long_names)
def test_a_label_value_is_valid(name: str) -> None:
    assert len(label_value(name)) <= 63
    assert re.fullmatch("[a-z0-9]([-a-z0-9.]*[a-z0-9])?", label_value(name))


def test_the_scale_subresource_selects_the_pods() -> None:
    worker = load("worker-minimal")
    assert selector_string(worker) == "headrace.dev/kind=ValkeyWorker,headrace.dev/name=pricing"
    assert pod_selector(worker).items() <= child_labels(worker).items()


def test_ordinary_names_stay_readable() -> None:
    assert child_name("pricing", "worker") == "pricing-worker"
    assert label_value("pricing") == "pricing"
    assert child_name("shop.pricing", "worker") == "shop-pricing-8cd039c7-worker"


def test_long_names_that_differ_at_the_end_stay_apart() -> None:
    assert child_name("a" * 80 + "1", "worker") != child_name("a" * 80 + "2", "worker")
    assert label_value("a" * 80 + "1") != label_value("a" * 80 + "2")
