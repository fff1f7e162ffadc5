"""JSON as others write it: numbers of any size and spelling, and what Python writes besides JSON."""

from hypothesis import strategies as st

_digits = st.integers(0, 10**40).map(str)
integers = st.builds(str.__add__, st.sampled_from(["", "-"]), _digits)
_letters_of_exponents = st.sampled_from(["e", "E", "e+", "E+", "e-", "E-"])
_exponents = st.builds(lambda letter, power: f"{letter}{power}", _letters_of_exponents, st.integers(0, 400))
decimals = st.builds(
    lambda whole, fraction, exponent: whole + fraction + exponent,
    integers,
    st.text("0123456789", min_size=1, max_size=25).map(lambda digits: f".{digits}"),
    st.one_of(st.just(""), _exponents),
)
numbers = st.one_of(integers, decimals, st.builds(str.__add__, integers, _exponents))
"""Texts of JSON numbers."""

_letters = st.text(st.characters(exclude_characters='"\\', exclude_categories=("Cs", "Cc")), max_size=8)
_escapes = st.sampled_from(["\\n", "\\u0000", "\\ud83d\\ude00", '\\"', "\\\\"])
strings = st.lists(st.one_of(_letters, _escapes), max_size=3).map(lambda parts: f'"{"".join(parts)}"')
"""Texts of JSON strings."""
_spaces = st.sampled_from(["", " ", "\n"])


def _arrays(inside: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(lambda parts, space: f"[{space}{f',{space}'.join(parts)}]", st.lists(inside, max_size=4), _spaces)


def _objects(inside: st.SearchStrategy[str], names: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    members = st.builds(lambda name, space, value: f"{name}{space}:{space}{value}", names, _spaces, inside)
    return st.builds(lambda parts: "{" + ",".join(parts) + "}", st.lists(members, max_size=5))


_names = st.one_of(st.sampled_from(['"id"', '"order_id"', '"items"', '"price"', '"at"']), strings)


def _values(leaves: st.SearchStrategy[str], names: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    plain = st.one_of(numbers, strings, st.sampled_from(["null", "true", "false"]), leaves)
    return st.recursive(plain, lambda inside: st.one_of(_arrays(inside), _objects(inside, names)), max_leaves=12)


texts = _values(st.nothing(), _names)
"""Texts of JSON values."""
_half_pairs = st.sampled_from(['"\\ud800"', '"a\\udfff"', '"\\udc00\\ud800"'])
python_texts = _values(
    st.one_of(st.sampled_from(["NaN", "Infinity", "-Infinity"]), _half_pairs), st.one_of(_names, _half_pairs)
)
"""The same with what Python's ``json`` writes besides."""
