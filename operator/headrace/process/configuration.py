"""A process's configuration: the resource as JSON or YAML, and secrets as files."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TypeVar

from headrace.api.resource import InvalidResourceError, Resource, parse
from headrace.api.resource_file import UnreadableFileError, the_resource
from headrace.api.tls import BadCertificateError, tls_context
from headrace.process.connection_retry import BadConnectionRetryError, configured

EXIT_CONFIGURATION = os.EX_CONFIG
"""Exit status of a process that cannot start however often it is tried (sysexits.h: 78)."""

R = TypeVar("R", bound=Resource)

_log = logging.getLogger(__name__)


class FatalConfigurationError(Exception):
    """The process cannot start, and trying again will not help. The text is one sentence for people."""


def load(model: type[R], path: str | Path) -> R:
    """Read the resource at *path*; raise :class:`FatalConfigurationError` that names the field that is wrong.

    The variables of :mod:`headrace.process.connection_retry` are read here too.
    """
    try:
        configured()
    except BadConnectionRetryError as error:
        raise FatalConfigurationError(str(error)) from None
    try:
        body = the_resource(Path(path).read_bytes(), model.__name__)
    except OSError as error:
        raise FatalConfigurationError(f"cannot read the configuration {path}: {error.strerror}.") from None
    except UnreadableFileError as error:
        raise FatalConfigurationError(f"the configuration {path} cannot be used: {error}.") from None
    try:
        return parse(model, body)
    except InvalidResourceError as error:
        raise FatalConfigurationError(f"the configuration {path} is not a valid {model.__name__}: {error}.") from None


def report_fatal(error: FatalConfigurationError) -> int:
    """Say *error* where ``kubectl describe pod`` shows it, and return the exit status."""
    _log.critical("%s", error)
    leave_word(str(error))
    return EXIT_CONFIGURATION


def leave_word(text: str) -> None:
    """Write why the process ends where ``kubectl describe pod`` shows it."""
    target = Path(os.environ.get("HEADRACE_TERMINATION_LOG", "/dev/termination-log"))
    try:
        target.write_text(f"{text}\n")
    except OSError as problem:
        _log.warning("cannot write %s: %s", target, problem.strerror)


class Secrets:
    """Mounted secrets, ``<root>/<folder>/<file>``; remembers what it read so that logs can leave it out."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or Path(os.environ.get("HEADRACE_SECRETS", "/etc/headrace/secrets"))
        self.values: set[str] = set()

    def path(self, name: str) -> Path:
        """The file *name* (such as ``valkey-ca/ca.crt``); raise :class:`FatalConfigurationError` when it is missing."""
        path = self.root / name
        if not path.is_file():
            raise FatalConfigurationError(
                f"the secret file {path} is missing: the Secret that the resource names must have that key."
            )
        return path

    def certificate(self, name: str) -> Path:
        """The CA certificate in file *name*; raise :class:`FatalConfigurationError` when it is missing or is none."""
        path = self.path(name)
        try:
            tls_context(path.read_text(encoding="ascii", errors="ignore"))
        except BadCertificateError as error:
            raise FatalConfigurationError(f"the secret file {path} cannot be used: {error}.") from None
        return path

    def read(self, name: str) -> str:
        """The secret in file *name*, without a trailing line break; never empty."""
        path = self.path(name)
        try:
            value = path.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise FatalConfigurationError(f"cannot read the secret file {path}: {type(error).__name__}.") from None
        if not value:
            raise FatalConfigurationError(f"the secret file {path} is empty.")
        self.values.add(value)
        return value

    def read_optional(self, name: str) -> str | None:
        """The secret in file *name*, or None when there is no such file."""
        return self.read(name) if (self.root / name).is_file() else None
