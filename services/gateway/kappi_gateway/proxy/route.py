"""Handling of a request on a listed route: credential, body, service, answer."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import msgspec
from kappi_chassis.base_url import BASE_URL
from kappi_chassis.http.direct_bytes import DIRECT
from kappi_chassis.http.edge import LASTS
from kappi_chassis.observability import context
from kappi_chassis.problems import NotFound, PayloadTooLarge, ValidationFailed
from kappi_contracts.grants import GRANT_HEADER

from kappi_gateway.auth.access_counts import AccessCounts
from kappi_gateway.auth.credentials import Credentials, normal_code
from kappi_gateway.auth.grant_cache import Granted
from kappi_gateway.errors import FileTooLarge, GrantRefused, UpstreamTimeout, UpstreamUnavailable
from kappi_gateway.http.base_urls import BaseUrls
from kappi_gateway.http.body import ClientLeft, RequestBody, declared_body
from kappi_gateway.http.client_disconnect import ClientDisconnect
from kappi_gateway.http.headers import ROLE, SIGNED, TO_GALLERIES, WITH_GRANT, WITH_TOKEN, passing
from kappi_gateway.http.refusal import send_refusal
from kappi_gateway.http.request import Request
from kappi_gateway.limits.concurrency import ConcurrencyLimit
from kappi_gateway.limits.minimum_rate import MinimumRate
from kappi_gateway.limits.rate import RateLimit
from kappi_gateway.proxy.response_stream import stream_response
from kappi_gateway.routes import Carries, Credential, Limit, Route, Service
from kappi_gateway.upstream import Answer, Lost, Silent, Upstreams

_PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
_SPACE = b"%20"
_BASE_URL = BASE_URL.decode()
_SIGNED = SIGNED.encode()
_DOTS = frozenset({b".", b".."})
PASSED_HEADERS = {Service.IDENTITY: WITH_TOKEN, Service.GALLERIES: TO_GALLERIES, Service.MEDIA: WITH_GRANT}
"""The headers of a client that reach each service."""
_PRINTABLE_ASCII = bytes(range(0x21, 0x7F))


@dataclass(frozen=True, slots=True)
class ProxyLimits:
    """Limits for proxied requests.

    body_limit_bytes: of a request body. file_body_limits_bytes: of a body that carries a file.
    client_silence: longest pause of a client. archives: concurrent archives of one address. files, pictures:
    concurrent bodies of one address that carry one; pictures_of_account: of one account. slow: clients of one
    address that the gateway waits for in the middle of their bodies. archive_silence, picture_silence:
    longest pause of a service in an archive, and before the answer to a picture. archive_bytes_per_s: of the
    slowest reader of an archive.
    """

    body_limit_bytes: int
    file_body_limits_bytes: Mapping[Carries, int]
    client_silence: timedelta
    archives: ConcurrencyLimit
    files: ConcurrencyLimit
    pictures: ConcurrencyLimit
    pictures_of_account: ConcurrencyLimit
    slow: ConcurrencyLimit
    archive_silence: timedelta
    picture_silence: timedelta
    archive_bytes_per_s: int


def _places(route: Route, terms: ProxyLimits) -> ConcurrencyLimit | None:
    if route.lasts:
        return terms.archives
    if route.carries is Carries.PICTURE:
        return terms.pictures
    return terms.files if route.carries else None


class _ProblemCode(msgspec.Struct):
    code: str = ""


class ProxyRoute:
    """The endpoint of one route."""

    def __init__(
        self,
        route: Route,
        *,
        upstreams: Upstreams,
        credentials: Credentials,
        limits: Mapping[Limit, RateLimit],
        terms: ProxyLimits,
        base_urls: BaseUrls,
        counts: AccessCounts,
    ) -> None:
        self._counts = counts
        self._route = route
        self._upstreams = upstreams
        self._credentials = credentials
        self._base_urls = base_urls
        self._limit = None if route.limit is Limit.NONE else limits[route.limit]
        self._body_limit_bytes = (
            terms.file_body_limits_bytes[route.carries] if route.carries else terms.body_limit_bytes
        )
        self._too_large = FileTooLarge if route.carries else PayloadTooLarge
        self._slow = terms.slow
        silence_s = terms.client_silence.total_seconds()
        self._sending = MinimumRate(silence_s)
        self._passing = (
            WITH_TOKEN if route.credential is Credential.ACCOUNT else PASSED_HEADERS[route.service]
        )
        self._places = _places(route, terms)
        self._places_of_account = terms.pictures_of_account if route.carries is Carries.PICTURE else None
        self._reading = (
            MinimumRate(silence_s, terms.archive_bytes_per_s) if route.lasts else MinimumRate(silence_s)
        )
        self._timeout = (
            terms.archive_silence
            if route.lasts
            else terms.picture_silence
            if route.carries is Carries.PICTURE
            else None
        )

    async def __call__(self, request: Request) -> None:
        """Raises Problem before the answer has begun."""
        if self._route.lasts:
            request.scope[LASTS] = True
        body = self._declared(request)
        target = self._target(request)
        try:
            with ClientDisconnect(request.scope) as disconnect:
                if body is None:
                    disconnect.arm()
                granted = await self._credentials.obtain(self._route, request)
                payer = None if self._limit is None else await self._pay(self._limit, request)
                reads_body = self._route.names_gallery and await self._credentials.has_token(request)
                if body is not None:
                    # The body is read only now: a client that waits for 100 Continue need not send a body
                    # that would be refused.
                    await body.open(disconnect.arm)
                    if reads_body:
                        granted = await self._credentials.of_named_gallery(request, await body.read_whole())
                if self._places is None:
                    await self._exchange(request, target, granted=granted, body=body, payer=payer)
                    return
                with self._places.held(request.address), self._place_of_account(payer):
                    await self._exchange(request, target, granted=granted, body=body, payer=payer)
        except GrantRefused as refused:
            await send_refusal(request, refused)
        except ClientLeft:
            return

    def _place_of_account(self, payer: str | None) -> AbstractContextManager[None]:
        """Holds a place of the account.

        Pictures arrive slowly, so an account sends few at once from all its addresses.
        """
        if payer is None or self._places_of_account is None:
            return nullcontext()
        return self._places_of_account.held_by(payer)

    async def _pay(self, limit: RateLimit, request: Request) -> str:
        """Takes a token of the limit. Returns the key of the address or account that pays."""
        payer = await self._credentials.limited_subject(self._route.limit, request)
        limit.pay(payer)
        return payer

    async def _exchange(
        self,
        request: Request,
        target: str,
        *,
        granted: Granted | None,
        body: RequestBody | None,
        payer: str | None,
    ) -> None:
        try:
            response = await self._send(request, target, granted, body)
        except (UpstreamUnavailable, UpstreamTimeout) as failed:
            if self._limit is not None and payer is not None:
                self._limit.settle(payer, status=failed.status, code="")
            raise
        try:
            if granted is not None and response.status == 401:
                response = await self._once_more(
                    request, target, granted=granted, body=body, refusal=response
                )
            if granted is not None and response.status == 404:
                response = await self._after_a_move(
                    request, target, granted=granted, body=body, missing=response
                )
            if self._route.may_be_counted:
                await self._counts.take(response, request)
            if self._limit is not None and payer is not None:
                await _settle(self._limit, payer, response)
            if self._route.changes_gallery and response.status < 300:
                self._forget(request)
            await stream_response(
                response,
                request.send,
                direct=request.scope[DIRECT] if self._route.lasts else None,
                service=self._route.service,
                head_only=request.method == "HEAD",
                rate=self._reading,
            )
        finally:
            response.release()

    async def _once_more(
        self,
        request: Request,
        target: str,
        *,
        granted: Granted,
        body: RequestBody | None,
        refusal: Answer,
    ) -> Answer:
        """Repeats a request once whose cached grant was refused: it was too old, or its key was rotated.

        Grants are internal, so a client never gets an answer about a refused one.
        """
        if not await _says_grant_invalid(refusal):
            return refusal
        refusal.release()
        self._credentials.drop(granted)
        if not granted.cached or (body is not None and body.whole is None):
            raise UpstreamUnavailable("Try again in a moment.", retry_after_s=1)
        if self._route.names_gallery and body is not None and body.whole is not None:
            fresh = await self._credentials.of_named_gallery(request, body.whole)
        else:
            fresh = await self._credentials.obtain(self._route, request)
        response = await self._send(request, target, fresh, body)
        if response.status == 401 and await _says_grant_invalid(response):
            response.release()
            raise UpstreamUnavailable("Try again in a moment.", retry_after_s=1)
        return response

    async def _after_a_move(
        self,
        request: Request,
        target: str,
        *,
        granted: Granted,
        body: RequestBody | None,
        missing: Answer,
    ) -> Answer:
        """Repeats a request on a thing that was not found, if it may have been moved to another gallery.

        The gateway caches the gallery of a thing. Raises UpstreamUnavailable if the thing was moved and the
        body cannot be sent again.
        """
        if self._route.names_gallery:
            return missing
        found = await self._credentials.after_a_move(self._route, request, granted)
        if found is None:
            return missing
        missing.release()
        if body is not None and body.whole is None:
            raise UpstreamUnavailable("Try again in a moment.", retry_after_s=1)
        return await self._send(request, target, found, body)

    async def _send(
        self, request: Request, target: str, granted: Granted | None, body: RequestBody | None
    ) -> Answer:
        headers = passing(request.headers, self._passing)
        headers.append(("x-request-id", context.request_id.get()))
        headers.append(("traceparent", context.traceparent.get() or ""))
        headers.append(("x-forwarded-for", request.address))
        headers.append(("x-forwarded-proto", request.scope["scheme"]))
        if (base_url := self._base_urls.of_request(request.scope)) is not None:
            headers.append((_BASE_URL, base_url))
        if granted is not None:
            headers.append((GRANT_HEADER, granted.grant.token))
        if self._route.is_counted and (role := await self._credentials.role_of(request)) is not None:
            headers.append((ROLE, role))
        payload = body if body is None or body.whole is None else body.whole
        # A HEAD is sent as a GET whose body is dropped, except for archives, where that would be gigabytes.
        method = request.method if self._route.lasts else self._route.method
        return await self._upstreams.send(
            self._route.service, method, target, headers=headers, body=payload, silence=self._timeout
        )

    def _declared(self, request: Request) -> RequestBody | None:
        if not self._route.accepts_body:
            return None
        return declared_body(
            request.headers,
            request.receive,
            limit_bytes=self._body_limit_bytes,
            rate=self._sending,
            slow=lambda: self._slow.held(request.address),
            too_large=self._too_large,
        )

    def _target(self, request: Request) -> str:
        """Returns path and query for the service.

        Raises NotFound for a parameter with other than plain characters.
        """
        if self._route.credential is Credential.CODE_IN_PATH:
            code = normal_code(request.parameters[0])
            path = self._route.template.replace("{code}", code or "-")
        else:
            for parameter in request.parameters:
                if parameter.replace(_SPACE, b"").translate(None, _PLAIN) or parameter in _DOTS:
                    raise NotFound("There is nothing of that name.")
            path = request.scope["raw_path"].decode("ascii")
        query = b"" if self._route.drops_query else request.scope["query_string"]
        return f"{path}?{safe_query(query)}" if query else path

    def _forget(self, request: Request) -> None:
        with suppress(ValueError):
            self._credentials.drop_gallery(UUID(request.parameters[0].decode("ascii")))


def safe_query(query: bytes) -> str:
    """Returns the query unchanged, except that bytes that are illegal in a request line are encoded."""
    if not query.translate(None, _PRINTABLE_ASCII):
        return query.decode("ascii")
    return "".join(chr(byte) if byte in _PRINTABLE_ASCII else f"%{byte:02X}" for byte in query)


async def _settle(limit: RateLimit, payer: str, response: Answer) -> None:
    refused = response.status == ValidationFailed.status
    code = await _problem_code(response) if refused else ""
    signed = int(response.header(_SIGNED) or 1)
    limit.settle(payer, status=response.status, code=code, things=signed)


async def _says_grant_invalid(response: Answer) -> bool:
    return await _problem_code(response) == "grant_invalid"


async def _problem_code(response: Answer) -> str:
    """Returns the problem's code, an empty string if there is no problem document.

    Raises UpstreamUnavailable when it breaks off.
    """
    try:
        return msgspec.json.decode(await response.read(), type=_ProblemCode).code
    except msgspec.MsgspecError:
        return ""
    except (Lost, Silent) as error:
        raise UpstreamUnavailable("Try again in a moment.", retry_after_s=1) from error
