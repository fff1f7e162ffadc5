# mypy: disallow-untyped-calls=False
"""Resources out of a file, JSON or YAML, read as `kubectl` reads them but for one thing: no key may stand twice.

YAML means here what it means to Kubernetes (sigs.k8s.io/yaml): `yes`, `on` and `y` are true, `0777` is octal, `1e3` is
a number, `12:30` and `2026-11-21` are texts, and keys are texts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import yaml
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from headrace.api.resource import API_VERSION

MOST_VALUES = 100_000
"""Values of one file, each alias with all that it stands for."""
DEEPEST = 100

_PLAIN = "plain"
_TAG = "tag:yaml.org,2002:"
_WORDS: Mapping[str, Any] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*|0[0-7]+|0[oO][0-7]+|0[xX][0-9a-fA-F]+|0[bB][01]+)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


class UnreadableFileError(Exception):
    """The file holds no resources. The text says where, `line 3, column 5: …`, as far as that is known."""


@dataclass(frozen=True)
class Document:
    """One document of a file."""

    body: Any
    """What it holds: of a resource an object."""
    line: int
    """Where it begins, counted from 1."""
    places: Mapping[str, str]
    """Of `apiVersion` and `kind`: where their values stand."""


def documents(content: bytes) -> list[Document]:
    """All documents of a file that hold anything. Raises :class:`UnreadableFileError`."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - (content.rfind(b"\n", 0, error.start) + 1) + 1
        raise UnreadableFileError(f"line {line}, column {column}: it is not UTF-8") from None
    try:
        body = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse_constant)
    except json.JSONDecodeError as problem:
        if not text.lstrip().startswith(("{", "[")):
            return _yaml_documents(text)
        try:
            return _yaml_documents(text)
        except UnreadableFileError:
            place = f"line {problem.lineno}, column {problem.colno}"
            raise UnreadableFileError(f"{place}: it is no JSON: {problem.msg}") from None
    except _RepeatedKeyError as problem:
        raise UnreadableFileError(_with_place(str(problem), text)) from None
    except RecursionError:
        raise UnreadableFileError("it is nested too deeply") from None
    return [Document(body, 1, {})]


def the_resource(content: bytes, kind: str) -> dict[str, Any]:
    """The one resource of *kind* in a file that may hold documents of other kinds besides.

    Raises :class:`UnreadableFileError`.
    """
    found = documents(content)
    if not found:
        raise UnreadableFileError(f"it is empty: a {kind} is wanted")
    for each in found:
        if not isinstance(each.body, dict):
            raise UnreadableFileError(f"line {each.line}: it is no mapping with apiVersion, kind, metadata and spec")
    ours = [each for each in found if each.body.get("kind") == kind]
    if len(ours) > 1:
        lines = ", ".join(str(each.line) for each in ours)
        raise UnreadableFileError(f"it holds {len(ours)} resources of kind {kind} (lines {lines}): give each its file")
    if not ours:
        [first, *_] = found
        kinds = ", ".join(str(each.body.get("kind", "left out")) for each in found)
        raise UnreadableFileError(f"{_place(first, 'kind')}kind must be {kind}, not {kinds}")
    [one] = ours
    if (version := one.body.get("apiVersion", API_VERSION)) != API_VERSION:
        raise UnreadableFileError(f"{_place(one, 'apiVersion')}apiVersion must be {API_VERSION}, not {version}")
    body: dict[str, Any] = one.body
    return body


def _with_place(problem: str, text: str) -> str:
    """The same of a key that stands twice, with its place where the text is YAML too."""
    try:
        _yaml_documents(text)
    except UnreadableFileError as error:
        if "stands twice" in str(error):
            return str(error)
    return problem


def _place(document: Document, key: str) -> str:
    place = document.places.get(key)
    return f"{place}: " if place else ""


class _RepeatedKeyError(Exception):
    """A key of a JSON object stands twice."""


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _RepeatedKeyError(f'the key "{key}" stands twice in one object')
        found[key] = value
    return found


def _refuse_constant(text: str) -> NoReturn:
    raise json.JSONDecodeError(f"{text} is no JSON", text, 0)


class _Loader(Reader, Scanner, Parser, Composer, BaseResolver):
    """Composes nodes. What a plain scalar means is for :class:`_Reading` to say."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        if kind is yaml.ScalarNode and implicit[0]:
            return _PLAIN
        return super().resolve(kind, value, implicit)


def _yaml_documents(text: str) -> list[Document]:
    try:
        loader = _Loader(text)
        nodes: list[Any] = []
        while loader.check_node():
            nodes.append(loader.get_node())
        reading = _Reading()
        found = [Document(reading.value(node), node.start_mark.line + 1, _places(node)) for node in nodes]
    except yaml.MarkedYAMLError as error:
        raise UnreadableFileError(_told(error, text)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        code = ord(error.character) if isinstance(error.character, str) else error.character
        raise UnreadableFileError(f"line {line}: the character U+{code:04X} may not stand there") from None
    except RecursionError:
        raise UnreadableFileError("it is nested too deeply") from None
    return [each for each in found if each.body is not None]


def _told(error: yaml.MarkedYAMLError, text: str) -> str:
    mark = error.problem_mark or error.context_mark
    problem = str(error.problem or error.context)
    if "'\\t'" in problem:
        problem = "a tab cannot indent YAML: write spaces"
    if mark is None:
        return problem
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}"


def _places(node: Any) -> dict[str, str]:
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {key.value: _where(value) for key, value in node.value if key.value in ("apiVersion", "kind")}


def _where(node: Any) -> str:
    return f"line {node.start_mark.line + 1}, column {node.start_mark.column + 1}"


def _fail(node: Any, text: str) -> NoReturn:
    raise UnreadableFileError(f"{_where(node)}: {text}")


class _Reading:
    """Makes values of nodes."""

    def __init__(self) -> None:
        self._count = 0
        self._above: list[Any] = []

    def value(self, node: Any) -> Any:
        """What *node* stands for. Raises UnreadableFileError."""
        self._count += 1
        if self._count > MOST_VALUES:
            _fail(node, f"more than {MOST_VALUES} values, those behind aliases counted each time")
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if any(node is each for each in self._above):
            _fail(node, "an alias stands inside of what it is an alias of")
        if len(self._above) >= DEEPEST:
            _fail(node, f"more than {DEEPEST} levels")
        self._above.append(node)
        try:
            return self._sequence(node) if isinstance(node, yaml.SequenceNode) else self._mapping(node)
        finally:
            self._above.pop()

    def _sequence(self, node: Any) -> list[Any]:
        if node.tag != _TAG + "seq":
            _fail(node, f"the tag {node.tag} is not known")
        return [self.value(each) for each in node.value]

    def _mapping(self, node: Any) -> dict[str, Any]:
        if node.tag != _TAG + "map":
            _fail(node, f"the tag {node.tag} is not known")
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _PLAIN and key_node.value == "<<":
                merged = {**self._merged(value_node), **merged}
                continue
            key = _key(key_node)
            if key in found:
                _fail(key_node, f'the key "{key}" stands twice in one mapping')
            found[key] = self.value(value_node)
        return {**merged, **found}

    def _merged(self, node: Any) -> dict[str, Any]:
        """What `<<` brings; of several mappings the first one counts."""
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        found: dict[str, Any] = {}
        for part in parts:
            if not isinstance(part, yaml.MappingNode):
                _fail(part, "<< takes a mapping, or a list of mappings")
            found = {**self.value(part), **found}
        return found


def _key(node: Any) -> str:
    """A key as text, as JSON has it."""
    if not isinstance(node, yaml.ScalarNode):
        _fail(node, "a key must be a text")
    value = _scalar(node)
    if value is None:
        _fail(node, "a key must be a text, not null")
    return value if isinstance(value, str) else json.dumps(value)


def _scalar(node: Any) -> Any:
    tag, text = node.tag, node.value
    if tag == _TAG + "str":
        return text
    value = _plain(node, text)
    wanted: dict[str, Any] = {"null": type(None), "bool": bool, "int": int, "float": (int, float)}
    if tag == _PLAIN:
        return value
    kind = wanted.get(tag.removeprefix(_TAG))
    if kind is None:
        _fail(node, f"the tag {tag} is not known")
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        _fail(node, f'"{text}" is not what its tag {tag} says')
    return value


def _plain(node: Any, text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _NO_NUMBER.fullmatch(text):
        _fail(node, f"{text} is no number that JSON has")
    digits = text.replace("_", "")
    if _INTEGER.fullmatch(digits):
        sign, bare = (-1, digits[1:]) if digits[0] == "-" else (1, digits.lstrip("+"))
        octal = len(bare) > 1 and bare[0] == "0" and bare.isdecimal()
        return sign * int(bare, 8 if octal else 0)
    if _FLOAT.fullmatch(digits):
        number = float(digits)
        if number in (float("inf"), float("-inf")):
            _fail(node, f"{text} is too large")
        return int(number) if number.is_integer() and abs(number) < 1e21 else number
    return text
