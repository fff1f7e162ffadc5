"""Kubernetes quantities in the one form in which the API server hands them back.

The API server reads ``0.5`` and stores ``500m``. Whoever compares what he wants with what is there must speak the
same form, or writes for ever.
"""

import re
from fractions import Fraction

_QUANTITY = re.compile(r"([0-9]+(?:[.][0-9]+)?)([A-Za-z]*)")
_DECIMAL = {"m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_MILLI = Fraction(1, 1000)


def canonical(text: str) -> str:
    """*text* as ``resource.Quantity`` prints it (k8s.io/apimachinery, ``CanonicalizeBytes``).

    The largest unit that leaves a whole number; binary units stay binary from 1024 up. In a list of resources the API
    server rounds up to thousandths.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"not a quantity: {text}")
    digits, unit = match.groups()
    if unit in _BINARY:
        value = Fraction(digits) * 1024 ** _BINARY[unit]
        if value >= 1024 and value.denominator == 1:
            return _largest_unit(value, 1024, {power: name for name, power in _BINARY.items()})
    elif unit in _DECIMAL:
        value = Fraction(digits) * Fraction(10) ** _DECIMAL[unit]
    else:
        raise ValueError(f"not a quantity: {text}")
    thousandths = -(-value // _MILLI)  # rounded up
    units = {(power + 3) // 3: name for name, power in _DECIMAL.items() if name}
    return _largest_unit(Fraction(thousandths), 1000, units)


def _largest_unit(value: Fraction, base: int, units: dict[int, str]) -> str:
    """Divide by *base* as long as the number stays whole and a unit is left. Without a name the unit is one."""
    number, power = int(value), 0
    while number and number % base == 0 and power < max(units):
        number, power = number // base, power + 1
    return f"{number}{units.get(power, '')}" if number else "0"
