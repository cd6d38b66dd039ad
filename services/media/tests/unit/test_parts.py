from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kappi_media.domain.parts import (
    MAX_PARTS,
    MIB,
    MIN_PART_BYTES,
    OBJECT_LIMIT_BYTES,
    SINGLE_PUT_LIMIT_BYTES,
    Connection,
    PartPlan,
    plan_parts,
)

connections = st.sampled_from(["slow", "normal", "fast"])
sizes = st.one_of(
    st.integers(1, OBJECT_LIMIT_BYTES),
    st.integers(1, 1 << 30),
    st.integers(-3, 3).map(lambda off: MAX_PARTS * 8 * MIB + off),
)


@given(size=sizes, connection=connections)
def test_parts_are_what_every_store_takes(size: int, connection: Connection) -> None:
    plan = plan_parts(size, connection)
    assert 1 <= plan.count <= MAX_PARTS
    assert MIN_PART_BYTES <= plan.part_size_bytes <= SINGLE_PUT_LIMIT_BYTES
    assert plan.part_size_bytes % MIB == 0
    assert 1 <= plan.length(plan.count) <= plan.part_size_bytes
    assert (plan.count - 1) * plan.part_size_bytes + plan.length(plan.count) == size
    if plan.count > 1:
        assert plan.length(1) == plan.part_size_bytes


@given(size=sizes)
def test_better_lines_get_larger_parts(size: int) -> None:
    slow, normal, fast = (plan_parts(size, each).part_size_bytes for each in ("slow", "normal", "fast"))
    assert slow <= normal <= fast


@given(size=sizes, more=sizes, connection=connections)
def test_larger_files_never_get_smaller_parts(size: int, more: int, connection: Connection) -> None:
    larger = min(size + more, OBJECT_LIMIT_BYTES)
    assert plan_parts(size, connection).part_size_bytes <= plan_parts(larger, connection).part_size_bytes


@pytest.mark.parametrize(
    ("size", "connection", "part_size", "count"),
    [
        (300 * MIB, "slow", 5 * MIB, 60),
        (300 * MIB, "normal", 8 * MIB, 38),
        (300 * MIB, "fast", 16 * MIB, 19),
        (MAX_PARTS * 8 * MIB, "normal", 8 * MIB, MAX_PARTS),
        (MAX_PARTS * 8 * MIB + 1, "normal", 9 * MIB, 8889),
        (OBJECT_LIMIT_BYTES, "slow", 525 * MIB, 9987),
    ],
)
def test_known_plans(size: int, connection: Connection, part_size: int, count: int) -> None:
    plan = plan_parts(size, connection)
    assert (plan.part_size_bytes, plan.count) == (part_size, count)


@pytest.mark.parametrize("size", [0, -1, OBJECT_LIMIT_BYTES + 1])
def test_sizes_no_object_has(size: int) -> None:
    with pytest.raises(ValueError, match="bytes"):
        plan_parts(size, "normal")


def test_a_plan_is_what_was_recorded_not_what_would_be_chosen_today() -> None:
    plan = PartPlan(size_bytes=25, part_size_bytes=10)
    assert [plan.length(number) for number in range(1, plan.count + 1)] == [10, 10, 5]
