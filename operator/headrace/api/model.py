"""The base of every API model, and rules that hold both in the API server and in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel


@dataclass(frozen=True)
class Rule:
    """One constraint, said twice on purpose: as CEL for the API server, as Python for everything else.

    The API server refuses a bad resource before anyone sees it; the Python half catches what was stored under an
    older schema and what is read from a file (``headrace plan -f``).
    """

    cel: str
    """The CEL expression; ``self`` is the object the rule stands on."""
    message: str
    """What the user should write instead."""
    holds: Callable[[Any], bool]
    """The same test on the parsed model."""


class ApiModel(BaseModel):
    """A frozen model with camelCase names on the wire; unknown fields are refused.

    A docstring under a field becomes the description in the CRD.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
    )

    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _obey_rules(self) -> Self:
        broken = [rule.message for rule in self.rules if not rule.holds(self)]
        if broken:
            raise ValueError("; ".join(broken))
        return self

    def to_wire(self) -> dict[str, Any]:
        """The object as it stands in YAML: camelCase, without fields that nobody set."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)


class OpenModel(ApiModel):
    """For parts that others own (object metadata): unknown fields are dropped, not refused."""

    model_config = ConfigDict(extra="ignore")
