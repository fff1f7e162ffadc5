"""Quantities in the API server's own form. The pairs were read back from a real API server (1.36.3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.desired.quantity import canonical


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("0", "0"),
        ("0Mi", "0"),
        ("1", "1"),
        ("0.5", "500m"),
        ("1.5", "1500m"),
        ("1000m", "1"),
        ("100m", "100m"),
        ("0.1m", "1m"),
        ("0.0000000001", "1m"),
        ("1000", "1k"),
        ("1500", "1500"),
        ("1024", "1024"),
        ("1024Mi", "1Gi"),
        ("1000Mi", "1000Mi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("0.5Mi", "512Ki"),
        ("1.0001Ki", "1024103m"),
        ("10.5m", "11m"),
        ("2048Ki", "2Mi"),
        ("1000M", "1G"),
        ("1E", "1E"),
        ("5Ei", "5Ei"),
    ],
)
def test_written_and_stored(written: str, stored: str) -> None:
    assert canonical(written) == stored


@given(
    st.integers(0, 10**6),
    st.one_of(st.none(), st.integers(0, 999)),
    st.sampled_from(["", "m", "k", "M", "G", "Ki", "Mi", "Gi"]),
)
def test_p3_a_canonical_quantity_stays_as_it_is(whole: int, fraction: int | None, unit: str) -> None:
    once = canonical(f"{whole}{'' if fraction is None else f'.{fraction}'}{unit}")
    assert canonical(once) == once


@pytest.mark.parametrize("text", ["", "1x", "-1", "one", "1.Gi"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        canonical(text)
