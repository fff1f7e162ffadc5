"""Pieces of PromQL, with the quoting done right."""

import json
import re


def selector(metric: str, *matchers: str, **labels: str) -> str:
    """``metric{label="value",…}``; *matchers* are ready-made, such as :func:`matches` gives."""
    equalities = [f"{name}={quoted(value)}" for name, value in labels.items()]
    return f"{metric}{{{','.join([*equalities, *matchers])}}}"


def matches(label: str, *alternatives: str, then: str = "") -> str:
    """A matcher: *label* is one of *alternatives*, taken literally, followed by the regular expression *then*."""
    expression = "|".join(re.escape(alternative) for alternative in alternatives)
    return f"{label}=~{quoted(f'({expression}){then}' if len(alternatives) > 1 else expression + then)}"


def matches_expression(label: str, start: str, expression: str, then: str) -> str:
    """A matcher: *label* is *start*, literally, followed by the regular expressions *expression* and *then*."""
    return f"{label}=~{quoted(f'{re.escape(start)}({expression}){then}')}"


def differs(label: str, *values: str) -> str:
    """A matcher: *label* is none of *values*."""
    return f"{label}!~{quoted('|'.join(re.escape(value) for value in values))}"


def quoted(text: str) -> str:
    """*text* as a PromQL string. The escapes are Go's, and JSON's are among them."""
    return json.dumps(text, ensure_ascii=False)


def largest(*alternatives: str) -> str:
    """The largest of the series that exist, without labels. What is not scraped is left out; nothing when none is."""
    return f"max({' or '.join(alternatives)})"


def seconds(duration: int) -> str:
    """A duration in PromQL's form."""
    return f"{duration}s"
