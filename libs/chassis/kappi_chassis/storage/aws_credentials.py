"""Credentials that AWS issues for a time: instance roles, IRSA, profiles, as boto3 finds them.

A signer works on the event loop and must not wait, so it uses the last credentials while new ones are fetched
on a thread. botocore renews them a quarter of an hour before they end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from kappi_chassis.storage.contract import StorageUnavailable
from kappi_chassis.storage.sigv4 import Credentials

CredentialSource = Callable[[], Credentials]
"""Called for every URL: returns at once, and the same object as long as nothing changed."""

_LOOK_AGAIN_S = 60.0
_TRY_AGAIN_S = 10.0


def boto3_chain() -> CredentialSource:
    """Returns a source that asks boto3's default chain at each call. Blocks. Raises StorageUnavailable."""
    import boto3  # see s3_client.make_client
    from botocore.exceptions import BotoCoreError

    session = boto3.session.Session()

    def fetch() -> Credentials:
        try:
            found = session.get_credentials()
            if found is None:
                raise StorageUnavailable("AWS gives this process no credentials")
            frozen = found.get_frozen_credentials()
        except BotoCoreError as error:
            raise StorageUnavailable(f"AWS gave no credentials: {type(error).__name__}") from error
        return Credentials(frozen.access_key or "", frozen.secret_key or "", frozen.token)

    return fetch


class RenewedCredentials:
    """A `CredentialSource` that waits only for its first credentials.

    That wait holds up the event loop, so a failed first attempt is not repeated at once. begin: returns the
    function that fetches credentials, may take long; called once, on first use.
    """

    def __init__(
        self,
        begin: Callable[[], CredentialSource] = boto3_chain,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._begin = begin
        self._clock = clock
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="aws-credentials")
        self._fetch: CredentialSource | None = None
        self._current: Credentials | None = None
        self._renewing: Future[Credentials] | None = None
        self._failed: StorageUnavailable | None = None
        self._looked_at = 0.0

    def __call__(self) -> Credentials:
        """Returns the credentials. Raises StorageUnavailable until the first were found."""
        if self._current is None:
            self._current = self._first()
        elif self._renewing is not None:
            self._take_over(self._renewing, self._current)
        elif self._clock() - self._looked_at > _LOOK_AGAIN_S:
            self._looked_at = self._clock()
            self._renewing = self._executor.submit(self._renewed)
        return self._current

    def _first(self) -> Credentials:
        if self._failed is not None and self._clock() - self._looked_at < _TRY_AGAIN_S:
            raise StorageUnavailable(str(self._failed)) from self._failed
        try:
            return self._executor.submit(self._renewed).result()
        except StorageUnavailable as error:
            self._failed = error
            raise
        finally:
            self._looked_at = self._clock()

    def _take_over(self, renewing: Future[Credentials], current: Credentials) -> None:
        if not renewing.done():
            return
        self._renewing = None
        # If the renewal failed, the old ones may still be valid for a time; otherwise the store refuses them.
        if renewing.exception() is None and renewing.result() != current:
            self._current = renewing.result()

    def _renewed(self) -> Credentials:
        if self._fetch is None:
            self._fetch = self._begin()
        return self._fetch()
