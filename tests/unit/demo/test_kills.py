"""The demo kills its pods twice on the way, and not again."""

import pytest

from demo.kills import Kills


@pytest.mark.parametrize(
    ("looks", "kills"),
    [([0, 10, 32], 0), ([33], 1), ([33, 40, 65], 1), ([40, 66, 100], 2), ([0, 100, 100], 1)],
)
def test_kills_fall_at_each_third_of_the_way(looks: list[int], kills: int) -> None:
    done: list[int] = []
    plan = Kills(lambda: done.append(1), 100)
    for finished in looks:
        plan.after(finished)
    assert len(done) == kills
