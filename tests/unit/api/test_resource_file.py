"""Files with resources: JSON and YAML, and what is wrong with them."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from headrace.api.resource_file import UnreadableFileError, documents, the_resource
from headrace.cli.main import main

HEAD = "apiVersion: headrace.dev/v1alpha1\nkind: PulsarBridge\n"
EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))


def value(text: str) -> Any:
    """What `spec:` holds."""
    [document] = documents(f"spec: {text}\n".encode())
    return document.body["spec"]


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("yes", True),
        ("On", True),
        ("y", True),
        ("no", False),
        ("OFF", False),
        ("yEs", "yEs"),
        ("'yes'", "yes"),
        ("~", None),
        ("", None),
        ("NULL", None),
        ("0777", 511),
        ("0o777", 511),
        ("-010", -8),
        ("089", 89),
        ("0xff", 255),
        ("0b101", 5),
        ("1_000", 1000),
        ("1e3", 1000),
        ("1.0", 1),
        ("1.5e-3", 0.0015),
        (".5", 0.5),
        ("1e400x", "1e400x"),
        ("18446744073709551617", 18446744073709551617),
        ("12:30", "12:30"),
        ("1:30:00", "1:30:00"),
        ("2026-11-21", "2026-11-21"),
        ("1.2.3", "1.2.3"),
        ("-", [None]),
        ("!!str 5", "5"),
        ("!!int 5", 5),
        ("{1: a, true: b, 1.5: c, on: d}", None),
        ("[&a {x: 1}, *a]", [{"x": 1}, {"x": 1}]),
        ("[&a {x: 1, z: 2}, {<<: *a, z: 3}]", [{"x": 1, "z": 2}, {"x": 1, "z": 3}]),
        ("{'<<': 1}", {"<<": 1}),
    ],
)
def test_yaml_means_what_it_means_to_kubernetes(text: str, means: Any) -> None:
    if text.startswith("{1:"):
        with pytest.raises(UnreadableFileError, match='the key "true" stands twice'):
            value(text)
        assert value("{1: a, true: b, 1.5: c}") == {"1": "a", "true": "b", "1.5": "c"}
        return
    if text == "-":
        text = "\n- "
    found = value(text)
    assert found == means
    assert type(found) is type(means)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\nb: 2\na: 3\n", 'line 3, column 1: the key "a" stands twice in one mapping'),
        ("a:\n  - {b: 1, 'b': 2}\n", 'line 2, column 12: the key "b" stands twice'),
        ("1: a\n'1': b\n", 'line 2, column 1: the key "1" stands twice'),
        ('{"a": {"b": 1,\n "b": 2}}', 'line 2, column 2: the key "b" stands twice'),
        ('{\n\t"a": 1,\n\t"a": 2}', 'the key "a" stands twice'),
        ("a:\n\tb: 1\n", "line 2, column 1: a tab cannot indent YAML: write spaces"),
        ("a: [1\nb: 2\n", "line 2, column"),
        ("a: &x [*x]\n", "line 1, column 4: an alias stands inside of what it is an alias of"),
        ("a: *nobody\n", "line 1, column 4: found undefined alias 'nobody'"),
        ("a: .inf\n", "line 1, column 4: .inf is no number that JSON has"),
        (
            "a: !!python/object:os.system x\n",
            "line 1, column 4: the tag tag:yaml.org,2002:python/object:os.system is not",
        ),
        ("a: !!int x\n", 'line 1, column 4: "x" is not what its tag'),
        ("? [a]\n: b\n", "line 1, column 3: a key must be a text"),
        ("~: b\n", "line 1, column 1: a key must be a text, not null"),
        ("a: b: c\n", "line 1, column 5"),
        ('{"a": 1,, "b": 2}', "line 1, column 9: it is no JSON"),
        ("a: \x01\n", "line 1: the character U+0001 may not stand there"),
        ("<<: 5\n", "line 1, column 5: << takes a mapping"),
        ("a: " + "[" * 200 + "]" * 200, "more than 100 levels"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_p7_what_is_wrong_is_told_with_its_place(text: str, says: str) -> None:
    with pytest.raises(UnreadableFileError) as caught:
        documents(text.encode())
    assert says in str(caught.value)


def test_what_is_no_text_is_told_with_its_place() -> None:
    with pytest.raises(UnreadableFileError, match="line 2, column 4: it is not UTF-8"):
        documents(b"a: b\nc: \xff\n")


def test_p7_aliases_that_multiply_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(UnreadableFileError, match="more than 100000 values"):
        documents("\n".join(lines).encode())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "it is empty: a PulsarBridge is wanted"),
        ("---\n---\n# nothing\n", "it is empty"),
        ("just text\n", "line 1: it is no mapping"),
        (f"{HEAD}---\n- 1\n", "line 4: it is no mapping"),
        (f"{HEAD}---\n{HEAD}", "2 resources of kind PulsarBridge (lines 1, 4)"),
        (
            "apiVersion: headrace.dev/v1alpha1\nkind: ValkeyWorker\n",
            "line 2, column 7: kind must be PulsarBridge, not Va",
        ),
        ("spec: {}\n", "kind must be PulsarBridge, not left out"),
        (
            "apiVersion: headrace.dev/v1\nkind: PulsarBridge\n",
            "line 1, column 13: apiVersion must be headrace.dev/v1alpha1",
        ),
        ('{"kind": "PulsarBridge", "apiVersion": "v1"}', "apiVersion must be headrace.dev/v1alpha1, not v1"),
    ],
)
def test_a_file_that_holds_not_the_one_resource_is_told(text: str, says: str) -> None:
    with pytest.raises(UnreadableFileError) as caught:
        the_resource(text.encode(), "PulsarBridge")
    assert says in str(caught.value)


def test_documents_of_other_kinds_and_empty_ones_are_passed_over() -> None:
    text = f"---\n# a comment\n---\napiVersion: v1\nkind: Secret\n---\n{HEAD}spec: {{a: 1}}\n---\n"
    assert the_resource(text.encode(), "PulsarBridge")["spec"] == {"a": 1}
    assert the_resource(b"\xef\xbb\xbf" + text.encode(), "PulsarBridge")["spec"] == {"a": 1}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_means_the_same_as_to_pyyaml(path: Path) -> None:
    assert [each.body for each in documents(path.read_bytes())] == list(yaml.safe_load_all(path.read_text()))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(_JSON.filter(lambda each: each is not None))
def test_json_is_read_as_it_was(made: Any) -> None:
    [document] = documents(json.dumps(made).encode())
    assert document.body == made
    assert json.dumps(document.body) == json.dumps(made)


@given(st.binary(max_size=60) | st.text(alphabet="ab:-[]{}&*!|>'\"#%@`,? \t\n.~0", max_size=60).map(str.encode))
def test_p7_any_file_is_read_or_told(content: bytes) -> None:
    with suppress(UnreadableFileError):
        documents(content)


def test_headrace_plan_tells_what_it_cannot_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.yaml"
    assert main(["plan", "-f", str(path)]) == 64
    path.write_text("a: 1\na: 2\n")
    assert main(["plan", "-f", str(path)]) == 64
    assert 'x.yaml: line 2, column 1: the key "a" stands twice' in capsys.readouterr().err
