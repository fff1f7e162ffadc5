"""Each script of ours does all or nothing, whatever Valkey refuses it, and tells the latter."""

from collections.abc import Iterator

import pytest

from testbed.valkey import Valkey
from tests.integration import bridge_script_cases, celery_script_cases, handler_script_cases
from tests.integration.refusal_bed import Bed, Case, State, refusals, scripts

CASES = [*bridge_script_cases.CASES, *handler_script_cases.CASES, *celery_script_cases.CASES]


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield Bed(server)


def endings(bed: Bed, case: Case) -> list[State]:
    """What the parts of a call leave, each on its own."""
    found = []
    for part in case.parts:
        bed.fresh(case)
        part(bed.raw)
        found.append(bed.state())
    return found


def but(state: State, key: str | None) -> State:
    return {name: value for name, value in state.items() if name != key}


def changes(before: State, after: State) -> State:
    """What became of the keys that differ."""
    return {key: after.get(key) for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_p1_p2_a_call_does_all_or_nothing_whatever_is_refused(bed: Bed, case: Case) -> None:
    seen = bed.record(case)
    done = bed.state()
    others = endings(bed, case)
    bed.fresh(case)
    kinds = case.types | {(key, value[0]) for state in (done, bed.state()) for key, value in state.items() if key}
    wrong = []
    for refusal in refusals(seen, kinds):
        bed.fresh(case)
        refusal.begin(bed)
        before = bed.state()
        told = bed.run(case)
        left = bed.state()
        key = refusal.key
        kept = key is None or key in case.overwritten or left.get(key) == before.get(key)
        everything = but(left, key) == but(done, key)
        whole = left == before or (kept and (everything or but(left, key) in [but(other, key) for other in others]))
        if not whole:
            found, wanted = changes(before, left), changes(before, done)
            wrong.append(f"{refusal.name}: it says {told!r}, and did {found}, not {wanted}")
        elif not told and not everything:
            wrong.append(f"{refusal.name}: it did not do it all, and says nothing")
    assert not wrong, "\n".join([f"{len(wrong)} refusals of {case.name}:", *wrong])


def test_every_script_has_a_case(bed: Bed) -> None:
    ran = "".join(bed.record(case).scripts for case in CASES)
    missing = [name for name, text in scripts().items() if text not in ran]
    assert not missing, f"no case runs {missing}: add one"
