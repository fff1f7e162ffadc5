"""Which field made the pods roll."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.api.resource import ANNOTATION_CONFIG_HASH
from headrace.desired.difference import first_difference
from tests.unit.desired.cases import desired, load

Json = dict[str, Any]


@pytest.fixture
def deployment() -> Json:
    (found,) = [child for child in desired(load("worker-full")) if child["kind"] == "Deployment"]
    return found


def container(deployment: Json) -> Json:
    return deployment["spec"]["template"]["spec"]["containers"][0]  # type: ignore[no-any-return]


def test_the_same_has_no_difference(deployment: Json) -> None:
    assert first_difference(deployment, copy.deepcopy(deployment)) is None


def test_an_image_is_named_with_both_values(deployment: Json) -> None:
    new = copy.deepcopy(deployment)
    container(new)["image"] = "shop:2"
    assert first_difference(deployment, new) == (
        "spec.template.spec.containers[worker].image: registry.example/shop:1.4 -> shop:2"
    )


def test_what_rolls_the_pods_comes_before_what_does_not(deployment: Json) -> None:
    new = copy.deepcopy(deployment)
    new["spec"]["replicas"] = 9
    container(new)["terminationMessagePath"] = "/x"
    assert (first_difference(deployment, new) or "").startswith("spec.template")


def test_a_change_of_scale_alone_is_named(deployment: Json) -> None:
    new = copy.deepcopy(deployment)
    new["spec"]["replicas"] = 9
    assert first_difference(deployment, new) == "spec.replicas: 3 -> 9"


def test_what_the_api_server_added_is_no_difference_while_there_is_another(deployment: Json) -> None:
    live = copy.deepcopy(deployment)
    live["spec"]["template"]["spec"]["dnsPolicy"] = "ClusterFirst"
    container(live)["imagePullPolicy"] = "Always"
    assert first_difference(live, deployment) == (
        "spec.template.spec.containers[worker].imagePullPolicy: Always -> IfNotPresent"
    )


@pytest.mark.parametrize("field", ["nodeSelector", "tolerations", "priorityClassName"])
def test_a_field_that_went_is_named(deployment: Json, field: str) -> None:
    new = copy.deepcopy(deployment)
    del new["spec"]["template"]["spec"][field]
    said = first_difference(deployment, new) or ""
    assert said.startswith(f"spec.template.spec.{field}: ")
    assert said.endswith(" -> (unset)")


def test_a_list_without_keys_is_compared_as_a_whole() -> None:
    assert first_difference({"args": ["a"]}, {"args": ["b"]}) == 'args: ["a"] -> ["b"]'
    old, new = ({"sources": [{"secret": {"name": name}}]} for name in ("a", "b"))
    assert first_difference(old, new) == 'sources: [{"secret": {"name": "a"}}] -> [{"secret": {"name": "b"}}]'


def test_entries_of_one_name_and_entries_in_another_order_are_differences_too() -> None:
    old, new = ([{"key": "a", "effect": effect}, {"key": "a"}] for effect in ("NoSchedule", "NoExecute"))
    assert (first_difference({"tolerations": old}, {"tolerations": new}) or "").startswith("tolerations: [")
    env = [{"name": "A"}, {"name": "B"}]
    assert first_difference({"env": env}, {"env": env[::-1]}) == "env: changed"


def test_a_changed_config_names_the_resources_own_field() -> None:
    old, new = ({"data": {"config.json": json.dumps({"spec": {"celery": {"concurrency": n}}})}} for n in (4, 8))
    assert first_difference(old, new) == "spec.celery.concurrency: 4 -> 8"


@pytest.mark.parametrize("text", ["not JSON", "[1]"])
def test_a_config_that_somebody_broke_is_still_a_difference(text: str) -> None:
    assert first_difference({"data": {"config.json": text}}, {"data": {"config.json": "{}"}}) == (
        "data.config.json: changed"
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("a.s", "b.s", "the configuration changed"),
        ("a.s", "a.t", "the contents of a referenced Secret changed"),
    ],
)
def test_the_config_hash_tells_a_secret_from_a_field(deployment: Json, old: str, new: str, said: str) -> None:
    before, after = copy.deepcopy(deployment), copy.deepcopy(deployment)
    before["spec"]["template"]["metadata"]["annotations"][ANNOTATION_CONFIG_HASH] = old
    after["spec"]["template"]["metadata"]["annotations"][ANNOTATION_CONFIG_HASH] = new
    assert first_difference(before, after) == said
    container(after)["image"] = "shop:2"
    assert "image" in (first_difference(before, after) or ""), "a field says more than the hash"


def test_a_hash_that_was_not_there_is_only_added(deployment: Json) -> None:
    before = copy.deepcopy(deployment)
    del before["spec"]["template"]["metadata"]["annotations"][ANNOTATION_CONFIG_HASH]
    assert (first_difference(before, deployment) or "").endswith(": added")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ([{"name": "A", "value": "hunter2"}], [{"name": "A", "value": "hunter3"}], "env[A].value: changed"),
        ([{"name": "A", "value": "hunter2"}], [{"name": "B", "value": "x"}], "env[B]: added"),
        (
            [{"name": "A", "value": "hunter2"}, {"name": "B", "value": "x"}],
            [{"name": "B", "value": "x"}],
            "env[A]: removed",
        ),
    ],
)
def test_p6_a_value_that_may_be_secret_is_never_shown(old: Any, new: Any, said: str) -> None:
    assert first_difference({"env": old}, {"env": new}) == said


def test_p6_annotations_and_unknown_files_are_not_shown() -> None:
    assert first_difference({"annotations": {"a": "1"}}, {"annotations": {"a": "2"}}) == "annotations.a: changed"
    assert first_difference({"data": {"key": "1"}}, {"data": {"key": "2"}}) == "data.key: changed"


def test_a_long_value_is_cut() -> None:
    said = first_difference({"image": "a" * 500}, {"image": "b"}) or ""
    assert said.endswith("… -> b")
    assert len(said) < 100


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=3), _values, max_size=3), st.dictionaries(st.text(max_size=3), _values))
def test_p7_any_two_objects_can_be_compared(old: Json, new: Json) -> None:
    assert (first_difference(old, new) is None) == (old == new)
