"""Names of children: readable where possible, unique always."""

import hashlib
import re

MAX_LENGTH = 63
"""The longest DNS label (RFC 1123); Services and pod host names must be one."""

_HASH_LENGTH = 8
_DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")  # RFC 1035: a Service's name begins with a letter


def child_name(resource_name: str, suffix: str) -> str:
    """``<resource_name>-<suffix>``, made to fit a DNS label of at most 63 characters.

    A resource's name may be longer, hold dots or begin with a digit. Where it does, it is cut and a hash of the whole
    name is added, so that two resources do not meet in one child.
    """
    name = f"{resource_name}-{suffix}"
    if len(name) <= MAX_LENGTH and _DNS_LABEL.fullmatch(name):
        return name
    digest = hash_of(resource_name)
    letters = re.sub("[^a-z0-9-]", "-", resource_name.lower())
    stem = letters if letters[:1].isalpha() else f"r{letters}"
    room = MAX_LENGTH - len(digest) - len(suffix) - 2
    return f"{stem[:room].rstrip('-')}-{digest}-{suffix}"


def label_value(name: str) -> str:
    """*name* as a label value, which holds at most 63 characters; a longer one is cut and gets a hash."""
    if len(name) <= MAX_LENGTH:
        return name
    return f"{name[: MAX_LENGTH - _HASH_LENGTH - 1].rstrip('-.')}-{hash_of(name)}"


def hash_of(text: str) -> str:
    """A short stable hash of *text*, eight hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]
