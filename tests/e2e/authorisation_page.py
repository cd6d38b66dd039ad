"""Writes docs/authorisation.md from the matrix that the running stack is tested with."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from tests.e2e.authorisation import (
    DONE,
    GONE,
    OPERATIONS,
    RULES,
    SENDS,
    ByKind,
    Caller,
    Kind,
    Operation,
    Outcome,
    Rule,
)

_OPENING = """\
# Authorisation matrix

Generated from `tests/e2e/authorisation.py`. `tests/e2e/test_authorisation.py` calls every operation of the
running stack as every caller, for every kind of gallery. Each operation follows one of the rules below. In
their tables, **done** is the answer of a successful operation, and *gone* is its answer for a thing that does
not exist; both are listed beside the operation. All other answers are refusals: a status and a `code`.

- An anonymous gallery has no owner: for it the *owner* is just another account.
- The galleries of the account are *shared* by code, *protected* by a password as well, or *private*. They
  were anonymous and were claimed, so their keys are void.
- Private, unknown, expired and deleted galleries have the same answer for callers with a code. So do unknown
  galleries and those of others for an account, and unknown keys and the keys of other galleries.
- If *done* is a refusal, the request is one that cannot succeed for any caller: it has a token that was never
  issued, a wrong current password, or a link that was never made.
- The admin panel at `/admin` is a page with its own login and session: no token opens it.

## Callers
"""


def page() -> str:
    """Returns the whole page."""
    return "\n".join([_OPENING, *_callers(), *(line for rule in RULES for line in _rule(rule))])


def _callers() -> Iterator[str]:
    yield "| caller | sends |"
    yield "|---|---|"
    for caller in Caller:
        headers = "; ".join(f"`{name}: {value}`" for name, value in SENDS[caller].items())
        yield f"| {caller.value} | {headers or 'nothing'} |"
    yield ""


def _rule(rule: Rule) -> Iterator[str]:
    yield f"## {rule.name}"
    yield ""
    yield rule.says
    yield ""
    yield "| operation | done | gone |"
    yield "|---|---|---|"
    for operation in OPERATIONS:
        if operation.rule is rule:
            yield f"| `{operation.name}` | {_done(operation)} | {_outcome(operation.gone)} |"
    yield ""
    yield from _cells(rule)
    yield ""


def _cells(rule: Rule) -> Iterator[str]:
    """Yields a line for neighbouring callers with the same outcomes."""
    heads = [kind.value for kind in Kind] if rule.asks_for_a_gallery else ["answer"]
    yield f"| caller | {' | '.join(heads)} |"
    yield "|---|" + "---|" * len(heads)
    for cell, callers in groupby(Caller, key=lambda caller: rule.cells[caller]):
        row = (cell,) * len(heads) if isinstance(cell, str) else cell
        yield f"| {' · '.join(caller.value for caller in callers)} | {' | '.join(map(_outcome, row))} |"


def _done(operation: Operation) -> str:
    done: Outcome | ByKind = operation.done
    if isinstance(done, str):
        return _outcome(done)
    return "; ".join(f"{kind.value}: {_outcome(each)}" for kind, each in zip(Kind, done, strict=True))


def _outcome(outcome: Outcome) -> str:
    if outcome == DONE:
        return "**done**"
    if outcome == GONE:
        return "*gone*"
    status, _, code = outcome.partition(" ")
    return f"{status} `{code}`" if code else status
