"""The rules of Flux's condition checker (fluxcd/pkg, runtime/conditions/check), for one status."""

from collections.abc import Mapping
from typing import Any

_NEGATIVE = ("Reconciling", "Stalled")


def violations(status: Mapping[str, Any], generation: int) -> list[str]:
    """The rules that *status* breaks; empty when it is sound."""
    conditions = {each["type"]: each for each in status["conditions"]}
    states = {kind: each["status"] for kind, each in conditions.items()}
    ready = states.get("Ready")
    observed = [status.get("observedGeneration"), *(each["observedGeneration"] for each in conditions.values())]
    rules = {
        "types are unique": len(conditions) == len(status["conditions"]),
        "0001 a negative condition goes with Ready": not (
            ready == "True" and any(states.get(kind) == "True" for kind in _NEGATIVE)
        ),
        "0002 Ready stands": ready is not None,
        "0003 Reconciling with Ready=True": not (states.get("Reconciling") == "True" and ready == "True"),
        "0004 Stalled needs Ready=False": states.get("Stalled") != "True" or ready == "False",
        "0005 Reconciling and Stalled at once": not (
            states.get("Reconciling") == "True" and states.get("Stalled") == "True"
        ),
        "0006 observed more than there is": all(each is None or each <= generation for each in observed),
        "0007 Ready=True with an old generation": ready != "True" or all(each == generation for each in observed),
        "0011 Ready=Unknown needs Reconciling": ready != "Unknown" or states.get("Reconciling") == "True",
        "negative conditions stand only while true": all(
            states[kind] == "True" for kind in _NEGATIVE if kind in states
        ),
        "reasons are words": all(each["reason"].isalnum() for each in conditions.values()),
        "messages are said": all(each["message"] for each in conditions.values()),
    }
    return [rule for rule, holds in rules.items() if not holds]
