"""The expected failures, with the stable codes that clients act on."""

from __future__ import annotations

from kappi_chassis.problems import (
    Conflict,
    FieldError,
    Forbidden,
    InsufficientStorage,
    NotFound,
    Problem,
    TooManyRequests,
    Unavailable,
    Unprocessable,
)
from kappi_chassis.shared_problems import (
    AdminRequired as AdminRequired,
    ClaimInProgress as ClaimInProgress,
    ContributionsClosed as ContributionsClosed,
    ContributorKeyWrong as ContributorKeyWrong,
    FileTooLarge as FileTooLarge,
    GalleryKeyMissing as GalleryKeyMissing,
    GalleryKeyWrong as GalleryKeyWrong,
    GalleryNotFound as GalleryNotFound,
    GalleryPasswordRequired as GalleryPasswordRequired,
    GalleryPasswordWrong as GalleryPasswordWrong,
    GalleryTakenDown as GalleryTakenDown,
    MediaNotAPicture as MediaNotAPicture,
    MediaNotFound as MediaNotFound,
    MediaNotReady as MediaNotReady,
    PictureTypeNotTaken as PictureTypeNotTaken,
    PictureUnusable as PictureUnusable,
    PostNotFound as PostNotFound,
    QuotaExceeded as QuotaExceeded,
    TierWithholds as TierWithholds,
    TooManyPasswordAttempts as TooManyPasswordAttempts,
)


class AccountRequired(Unprocessable):
    """An anonymous gallery cannot have these features. fields: the requested fields that need an account."""

    code, title = "account_required", "Only an account's gallery can have this"

    def __init__(self, *fields: str) -> None:
        super().__init__(
            "An anonymous gallery is shared by its code and has no password.",
            errors=tuple(
                FieldError(field=field, code=self.code, message="This takes an account.") for field in fields
            ),
        )


class ExpiryNotForAccounts(Unprocessable):
    code, title = "expiry_not_for_accounts", "The gallery of an account never expires"

    def __init__(self) -> None:
        super().__init__(
            "It stays until it is deleted.",
            errors=(FieldError(field="expires_in", code=self.code, message=f"{self.title}."),),
        )


class ContributorNotFound(NotFound):
    code, title = "contributor_not_found", "The gallery has no such contributor"


class TooManyContributors(Conflict):
    code, title = "too_many_contributors", "The gallery has no room for more contributors"


class TooManyCodes(TooManyRequests):
    code, title = "too_many_codes", "The gallery was given too many new codes"


class CodesExhausted(Unavailable):
    code, title = "codes_exhausted", "No free code was found"


class CommentNotFound(NotFound):
    code, title = "comment_not_found", "There is no such comment"


class PostNotYours(Forbidden):
    code, title = "post_not_yours", "Only its author may delete a post"


class CommentNotYours(Forbidden):
    code, title = "comment_not_yours", "Only its author, and the author of its post, may delete a comment"


class PicturesUnavailable(Unavailable):
    code, title = "pictures_unavailable", "Pictures cannot be stored at the moment"


PICTURE_REFUSALS: dict[str, type[Problem]] = {
    kind.code: kind
    for kind in (
        FileTooLarge,
        PictureTypeNotTaken,
        PictureUnusable,
        MediaNotFound,
        MediaNotReady,
        MediaNotAPicture,
        QuotaExceeded,
        InsufficientStorage,
    )
}
"""The failures by which the media service refuses a picture, by code."""


class ClaimOverQuota(QuotaExceeded):
    status = Conflict.status


class ClaimFileTooLarge(FileTooLarge):
    status = Conflict.status


class ClaimsUnavailable(Unavailable):
    code, title = "claims_unavailable", "Galleries cannot be claimed at the moment"


class CoverUnavailable(Unavailable):
    code, title = "cover_unavailable", "A cover cannot be named at the moment"


COVER_REFUSALS: dict[str, type[Problem]] = {kind.code: kind for kind in (MediaNotFound, MediaNotReady)}
"""The failures by which the media service refuses an item as cover, by code."""

CLAIM_REFUSALS: dict[str, type[Problem]] = {
    kind.code: kind
    for kind in (
        GalleryNotFound,
        GalleryKeyWrong,
        ClaimInProgress,
        ClaimFileTooLarge,
        ClaimOverQuota,
        TierWithholds,
    )
}
"""The failures by which the media service refuses to reserve room for a claim, by code."""
