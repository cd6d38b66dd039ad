"""Interleaved rounds of several subjects, and the ratios of their costs."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Turn:
    """One measurement of one subject. units: of work done. processor_s: user and system time of its
    processes; None when they are not known. generator_s: processor time of the load generator.
    """

    units: float
    processor_s: float | None
    elapsed_s: float
    generator_s: float


Subjects = Mapping[str, Callable[[], Awaitable[Turn]]]


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some figures, the lowest and the highest of them."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> Spread:
        return cls(statistics.median(figures), min(figures), max(figures))


@dataclass(frozen=True, slots=True)
class Comparison:
    """The figures of one subject. The ratios are of the first subject to this one, round by round.

    processor_s, wall_s: for a unit. generator: the part of the wall clock in which the load generator worked.
    """

    name: str
    processor_s: float | None
    wall_s: float
    processor_ratio: Spread | None
    wall_ratio: Spread
    generator: float


def orders(names: Sequence[str], rounds: int) -> Iterator[list[str]]:
    """Yields the order of each round. Each subject is first, and last, equally often."""
    for number in range(rounds):
        turn = number % len(names)
        yield [*names[turn:], *names[:turn]]


async def in_rounds(subjects: Subjects, rounds: int) -> dict[str, list[Turn]]:
    """Returns the turns of each subject, round by round. A round before them warms up and does not count."""
    for take in subjects.values():
        await take()
    taken: dict[str, list[Turn]] = {name: [] for name in subjects}
    for order in orders(list(subjects), rounds):
        for name in order:
            taken[name].append(await subjects[name]())
    return taken


def compared(taken: Mapping[str, Sequence[Turn]]) -> list[Comparison]:
    """Returns a comparison for each subject with the first one."""
    first = next(iter(taken.values()))
    return [_comparison(name, turns, first) for name, turns in taken.items()]


def _comparison(name: str, turns: Sequence[Turn], first: Sequence[Turn]) -> Comparison:
    own, reference = _processor(turns), _processor(first)
    wall = [turn.elapsed_s / turn.units for turn in turns]
    return Comparison(
        name=name,
        processor_s=statistics.median(own) if own else None,
        wall_s=statistics.median(wall),
        processor_ratio=_ratio(reference, own) if own and reference else None,
        wall_ratio=_ratio([turn.elapsed_s / turn.units for turn in first], wall),
        generator=statistics.median(turn.generator_s / turn.elapsed_s for turn in turns),
    )


def _processor(turns: Sequence[Turn]) -> list[float]:
    """Returns the processor seconds for a unit, round by round; nothing when one is not known."""
    known = [turn.processor_s / turn.units for turn in turns if turn.processor_s is not None]
    return known if len(known) == len(turns) else []


def _ratio(first: Sequence[float], other: Sequence[float]) -> Spread:
    return Spread.of([one / two for one, two in zip(first, other, strict=True)])
