"""The problems that a public operation may answer with: those of its service and those of the gateway."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from kappi_chassis.auth.accounts import AccessTokenInvalid
from kappi_chassis.auth.verifier import KeysUnavailable
from kappi_chassis.http.app import PROBLEM_TITLES, listed_problems
from kappi_chassis.problems import Overloaded, PayloadTooLarge, Problem, UnknownField

from kappi_gateway import errors
from kappi_gateway.limits.rules import RULES
from kappi_gateway.openapi.document import Document
from kappi_gateway.routes import Credential, Limit, Route


class Failure(NamedTuple):
    """A documented problem."""

    status: int
    code: str
    title: str


def _of(*kinds: type[Problem]) -> tuple[Failure, ...]:
    return tuple(Failure(kind.status, kind.code, kind.title) for kind in kinds)


_ALWAYS = _of(errors.UpstreamUnavailable, Overloaded, errors.UpstreamTimeout)
_WITH_BODY = _of(PayloadTooLarge, errors.RequestTimeout, errors.TooManySlow)
_WITH_FILE = _of(errors.FileTooLarge, errors.RequestTimeout, errors.TooManyFiles, errors.TooManySlow)
# The galleries service refuses these itself when it is asked for a grant.
_KEY = _of(errors.GalleryKeyWrong, errors.GalleryTakenDown)
_CONTRIBUTOR = _of(errors.ContributorKeyWrong)
_PASSWORD = _of(errors.GalleryPasswordRequired, errors.GalleryPasswordWrong, errors.TooManyPasswordAttempts)
_CODE = _of(errors.GalleryNotFound, errors.TooManyGuesses)
_BY_CODE = (*_CODE, *_PASSWORD)
_CREDENTIALS: Mapping[Credential, tuple[Failure, ...]] = {
    Credential.CODE_IN_PATH: _BY_CODE,
    Credential.CODE_WITHOUT_PASSWORD: _CODE,
    Credential.MANAGER: (*_of(errors.GalleryKeyMissing, errors.GalleryNotFound), *_KEY),
    Credential.UPLOADER: (
        *_of(errors.GalleryKeyMissing, errors.GalleryNotFound),
        *_KEY,
        *_CONTRIBUTOR,
    ),
    Credential.VIEWER: (*_of(errors.CredentialsMissing), *_KEY, *_CONTRIBUTOR, *_BY_CODE),
}
_TOKENS = _of(AccessTokenInvalid, KeysUnavailable)
# Problems between gateway and service that cannot reach a client: the gateway sends a suitable grant.
_HIDDEN = {"grant_invalid", "right_missing"}
_HIDDEN_BY: Mapping[Credential, set[str]] = {
    Credential.NONE: set(),
    Credential.ACCOUNT: set(),
    Credential.CODE_IN_PATH: {*_HIDDEN, "credentials_missing"},
    Credential.CODE_WITHOUT_PASSWORD: set(),
    Credential.MANAGER: {*_HIDDEN, "credentials_missing"},
    Credential.UPLOADER: {*_HIDDEN, "credentials_missing"},
    Credential.VIEWER: _HIDDEN,
}


def responses(operation: Document, route: Route, *, with_accounts: bool) -> Document:
    """Returns the operation's answers with every problem that a client may see and no other.

    with_accounts: this deployment has access tokens. Order: by status; the service's problems before the
    gateway's.
    """
    given: Document = operation.get("responses", {})
    failures = [failure for failure in _documented(given) if failure.code not in _HIDDEN_BY[route.credential]]
    failures += _ours(route, with_accounts=with_accounts)
    kept = {status: answer for status, answer in given.items() if PROBLEM_TITLES not in answer}
    return dict(sorted({**kept, **_described(failures)}.items()))


def failures_of(status: str, answer: Document) -> list[Failure]:
    """Returns the problems that a documented answer lists."""
    return [Failure(int(status), code, title) for code, title in answer.get(PROBLEM_TITLES, {}).items()]


def _documented(given: Document) -> Iterator[Failure]:
    for status, answer in given.items():
        yield from failures_of(status, answer)


def _ours(route: Route, *, with_accounts: bool) -> Iterator[Failure]:
    yield from _ALWAYS
    if not route.drops_query:
        yield from _of(UnknownField)
    if route.accepts_body:
        yield from _WITH_FILE if route.carries else _WITH_BODY
    if route.lasts:
        yield from _of(errors.TooManyArchives)
    if route.limit is not Limit.NONE:
        yield from _of(RULES[route.limit].refusal)
    yield from _CREDENTIALS.get(route.credential, ())
    if route.shows_items:
        yield from _CONTRIBUTOR
    if with_accounts and route.credential in {Credential.MANAGER, Credential.UPLOADER, Credential.VIEWER}:
        yield from _TOKENS


def _described(failures: Iterable[Failure]) -> Document:
    by_status: dict[str, dict[str, str]] = {}
    for failure in failures:
        by_status.setdefault(str(failure.status), {}).setdefault(failure.code, failure.title)
    return {status: listed_problems(titles) for status, titles in by_status.items()}
