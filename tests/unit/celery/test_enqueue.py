"""How arguments are shown in a message's headers."""

from typing import Any

from celery.utils.saferepr import saferepr
from hypothesis import given
from hypothesis import strategies as st

from headrace.celery.enqueue import represent

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.decimals()
values = scalars | st.lists(scalars, max_size=3) | st.tuples(scalars, st.dictionaries(st.text(), scalars, max_size=3))
arguments = st.lists(values, max_size=4).map(tuple) | st.dictionaries(st.text(), values, max_size=4)


@given(arguments, st.integers(1, 200), st.integers(0, 3))
def test_arguments_are_shown_as_celery_shows_them(value: Any, longest: int, levels: int) -> None:
    assert represent(value, longest, levels) == saferepr(value, longest, maxlevels=levels)
