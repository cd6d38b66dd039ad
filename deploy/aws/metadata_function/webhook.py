"""Notifies Kappi of uploads: sends the unchanged message to the media service's endpoint."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, Final

TIMEOUT_S: Final = 20.0
TOKEN_HOLDS_S: Final = 300.0


class DeliveryFailed(Exception):
    """Kappi did not accept the message. The text of this error contains no secret."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Refuses redirects, because a redirect would send the token to another host."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Webhook:
    """Sends messages. read_token: called for the first message, and when the token is old or refused."""

    def __init__(self, url: str, *, read_token: Callable[[], str]) -> None:
        self._url = url
        self._read_token = read_token
        self._token = ""
        self._read_at = float("-inf")
        self._opener = urllib.request.build_opener(_NoRedirects)

    def send(self, message: object) -> None:
        """Returns once Kappi has processed the message. Raises DeliveryFailed."""
        body = json.dumps(message).encode()
        if self._status(body) == http.client.UNAUTHORIZED:
            self._read_at = float("-inf")  # the token may have been replaced
            if self._status(body) == http.client.UNAUTHORIZED:
                raise DeliveryFailed("the token is refused")

    def _status(self, body: bytes) -> int:
        request = urllib.request.Request(  # noqa: S310 - the operator's own URL
            self._url,
            data=body,
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self._current_token()}"},
        )
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == http.client.UNAUTHORIZED:
                    return error.code
            raise DeliveryFailed(f"answered {error.code}") from None
        except (OSError, http.client.HTTPException) as error:
            # The text of the error is left out, because it may contain the request with its token.
            raise DeliveryFailed(f"no answer ({type(error).__name__})") from None

    def _current_token(self) -> str:
        if time.monotonic() - self._read_at >= TOKEN_HOLDS_S:
            self._token = self._read_token()
            self._read_at = time.monotonic()
        return self._token
