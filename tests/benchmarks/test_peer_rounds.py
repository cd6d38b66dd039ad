"""The order of the rounds, and the ratios that are computed from them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from benchmarks.peers.rounds import Spread, Turn, compared, in_rounds, orders


def turn(processor_s: float | None, *, units: float = 1, elapsed_s: float = 1) -> Turn:
    return Turn(units=units, processor_s=processor_s, elapsed_s=elapsed_s, generator_s=elapsed_s / 4)


def test_each_subject_is_first_equally_often() -> None:
    found = list(orders(["a", "b", "c"], 6))
    assert found[:3] == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"]]
    assert found[3:] == found[:3]


async def test_subjects_take_turns_and_the_first_round_does_not_count() -> None:
    log: list[str] = []

    def subject(name: str) -> Callable[[], Awaitable[Turn]]:
        async def take() -> Turn:
            log.append(name)
            return turn(len(log))

        return take

    taken = await in_rounds({"a": subject("a"), "b": subject("b")}, 2)
    assert log == ["a", "b", "a", "b", "b", "a"]
    assert {name: [each.processor_s for each in turns] for name, turns in taken.items()} == {
        "a": [3, 6],
        "b": [4, 5],
    }


def test_ratios_are_of_turns_of_the_same_round_and_of_a_unit() -> None:
    # The machine was ten times slower in the second round: the ratios of the medians would be others.
    ours = [turn(4, units=2, elapsed_s=8), turn(20, elapsed_s=80), turn(3, elapsed_s=4)]
    theirs = [turn(1, elapsed_s=2), turn(5, elapsed_s=40), turn(0.5, elapsed_s=1)]
    first, other = compared({"ours": ours, "theirs": theirs})
    assert first.processor_ratio == Spread(1, 1, 1)
    assert other.processor_ratio == Spread(median=4, low=2, high=6)
    assert other.wall_ratio == Spread(median=2, low=2, high=4)
    assert (first.processor_s, other.processor_s, other.wall_s) == (3, 1, 2)
    assert other.generator == 0.25


def test_a_subject_of_unknown_processes_has_no_processor_time() -> None:
    first, other = compared({"ours": [turn(2), turn(2)], "theirs": [turn(None), turn(1)]})
    assert (other.processor_s, other.processor_ratio) == (None, None)
    assert (first.processor_s, other.wall_ratio) == (2, Spread(1, 1, 1))
