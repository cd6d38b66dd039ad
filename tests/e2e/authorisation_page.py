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
# Who may do what

Written from `tests/e2e/authorisation.py`; `tests/e2e/test_authorisation.py` asks the running stack for every
operation, as every caller, of every kind of gallery. Each operation follows one of the rules below. In their
tables **done** is what the operation answers when it does what it is for, *gone* what it answers for a thing
that does not exist; both stand beside the operation. Everything else is a refusal's status and `code`.

- An anonymous gallery has no owner: the *owner* is just another account to it.
- The galleries of the account are *shared* by code, *protected* by a password as well, or *private*. They
  began as anonymous ones and were claimed, so their keys are void.
- Private, unknown, expired and deleted galleries are one answer to whoever comes with a code; so are unknown
  ones and other people's to an account, and unknown keys and other galleries' to whoever comes with a key.
- Where *done* is a refusal, it is everybody's: of a token nobody was sent, of a wrong current password, of a
  link that was never made.
- The admin panel at `/admin` is a page with a login and a session of its own: no token opens it.

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
