"""Expected failures, with the codes that clients rely on."""

from __future__ import annotations

from typing import Any

import msgspec
from kappi_chassis.http.edge import CutOff
from kappi_chassis.problems import (
    BadRequest,
    Problem,
    RequestTimeout as RequestTimeout,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from kappi_chassis.shared_problems import (
    ContributorKeyWrong as ContributorKeyWrong,
    FileTooLarge as FileTooLarge,
    GalleryKeyMissing as GalleryKeyMissing,
    GalleryKeyWrong as GalleryKeyWrong,
    GalleryNotFound as GalleryNotFound,
    GalleryPasswordRequired as GalleryPasswordRequired,
    GalleryPasswordWrong as GalleryPasswordWrong,
    GalleryTakenDown as GalleryTakenDown,
    LinkNotFound as LinkNotFound,
    MediaNotFound as MediaNotFound,
    TooManyPasswordAttempts as TooManyPasswordAttempts,
    UploadNotFound as UploadNotFound,
)


class UpstreamUnavailable(Unavailable):
    code, title = "upstream_unavailable", "A service is not available at the moment"


class UpstreamTimeout(Problem):
    status, code, title = 504, "upstream_timeout", "A service did not answer in time"


class UpstreamBroke(CutOff):
    """The service stopped in the middle of its answer, so the gateway's answer is cut off and does not end
    normally.
    """


class ClientStalled(CutOff):
    """The client stopped reading in the middle of an answer."""


class HeaderUnreadable(BadRequest):
    code, title = "bad_header", "A header cannot be read"


class CredentialsMissing(Unauthenticated):
    """The request names no gallery in any of the ways that it may."""


class TooManyGuesses(TooManyRequests):
    code, title = "too_many_guesses", "Too many codes that do not exist"


class TooManyGalleries(TooManyRequests):
    code, title = "too_many_galleries", "Too many galleries from one address"


class TooManyContributions(TooManyRequests):
    code, title = "too_many_contributions", "Too many contributors from one address"


class TooManyPosts(TooManyRequests):
    code, title = "too_many_posts", "Too many posts from one account"


class TooManyComments(TooManyRequests):
    code, title = "too_many_comments", "Too many comments from one account"


class TooManyWebhooks(TooManyRequests):
    code, title = "too_many_webhooks", "Too many changes of webhooks by one account"


class TooManyArchives(TooManyRequests):
    code, title = "too_many_archives", "Too many archives at once from one address"


class TooManyStreams(TooManyRequests):
    code, title = "too_many_streams", "Too many live streams at once from one address"


class TooManyViewers(Unavailable):
    code, title = "too_many_viewers", "Too many live streams of one gallery at once"


class LiveUnavailable(Unavailable):
    """No changes arrive from the broker, or this gateway stops."""

    code, title = "live_unavailable", "There are no live streams at the moment"


class TooManyFiles(TooManyRequests):
    code, title = "too_many_files", "Too many files at once from one address"


class TooManyTransfers(TooManyRequests):
    """Answered with S3's error code `SlowDown`."""

    code, title = "too_many_transfers", "Too many transfers at once from one address"


class TooManyAtOnce(TooManyRequests):
    code, title = "too_many_at_once", "Too many requests at once from one address"


class TooManySlow(TooManyRequests):
    code, title = "too_many_slow_requests", "Too many requests of one address are waiting for it"


class TooManyUploads(TooManyRequests):
    code, title = "too_many_uploads", "Too many uploads are signed for one address"


class TooManyAccounts(TooManyRequests):
    code, title = "too_many_accounts", "Too many accounts from one address"


class GrantRefused(Exception):
    """The galleries service refused a credential; its problem document is the answer.

    status: 4xx. headers: lower-case, only those that belong to the refusal.
    """

    def __init__(
        self, status: int, document: dict[str, Any], headers: tuple[tuple[bytes, bytes], ...]
    ) -> None:
        super().__init__(f"refused with {status}")
        self.status = status
        self.headers = headers
        self._document = document

    def body_for(self, request_id: str) -> bytes:
        """Returns the document with the id of one request: several requests may share one refusal."""
        return msgspec.json.encode({**self._document, "request_id": request_id})
