# mypy: disallow-untyped-calls=False
"""Errors of a Valkey whose user lacks a right, told with the command and the key that are meant."""

from __future__ import annotations

from typing import Any

import valkey
from valkey.exceptions import NoPermissionError, ResponseError

_WHICH_KEY = """
for _, key in ipairs(ARGV) do
  if not redis.acl_check_cmd('EVAL', '', 1, key) then
    return key
  end
end
"""


class Client(valkey.Valkey):
    """A client whose :class:`NoPermissionError` names what was refused; Valkey itself names the command alone."""

    def execute_command(self, *arguments: Any, **options: Any) -> Any:
        """As the client does."""
        try:
            return super().execute_command(*arguments, **options)
        except NoPermissionError as error:
            if "access a" not in str(error):
                raise
            raise NoPermissionError(f"{error}: {self._named(arguments)}") from None

    def _named(self, arguments: tuple[Any, ...]) -> str:
        command = str(arguments[0])
        if command not in ("EVAL", "EVALSHA"):
            return " ".join(map(_text, arguments[:2]))
        keys = arguments[3 : 3 + int(arguments[2])]
        try:
            found = super().execute_command("EVAL", _WHICH_KEY, 0, *keys)
        except ResponseError:
            found = None
        return _text(found) if found else ", ".join(map(_text, keys))


def _text(argument: Any) -> str:
    return argument.decode(errors="replace") if isinstance(argument, bytes) else str(argument)
