"""The expected failures, with the stable codes that clients act on."""

from __future__ import annotations

from kappi_chassis.problems import (
    Conflict,
    FieldError,
    Forbidden,
    InsufficientStorage,
    NotFound,
    PayloadTooLarge,
    Problem,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    Unprocessable,
    UnsupportedMediaType,
)


class GalleryKeyMissing(Unauthenticated):
    code, title = "gallery_key_missing", "The gallery's access key is needed"


class GalleryKeyWrong(Forbidden):
    """The key is unknown or belongs to another gallery.

    The answer is the same whether the requested gallery exists or not.
    """

    code, title = "gallery_key_wrong", "The access key does not open this gallery"


class AdminRequired(Forbidden):
    code, title = "admin_required", "Only an administrator may do this"


class GalleryNotFound(NotFound):
    """The gallery is unknown, private, expired, deleted or another account's; the answer is the same."""

    code, title = "gallery_not_found", "There is no such gallery"


class GalleryTakenDown(Forbidden):
    """The answer to the manager of a gallery that was taken down. detail: the administrator's reason."""

    code, title = "gallery_taken_down", "An administrator took the gallery down"


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


class GalleryPasswordRequired(Unauthenticated):
    code, title = "gallery_password_required", "The gallery has a password"


class GalleryPasswordWrong(Unauthenticated):
    code, title = "gallery_password_wrong", "This is not the gallery's password"


class TooManyPasswordAttempts(TooManyRequests):
    code, title = "too_many_password_attempts", "Too many wrong passwords"


class TooManyCodes(TooManyRequests):
    code, title = "too_many_codes", "The gallery was given too many new codes"


class CodesExhausted(Unavailable):
    code, title = "codes_exhausted", "No free code was found"


class PostNotFound(NotFound):
    """The post never existed, was deleted, or its picture is still being stored; the answer is the same."""

    code, title = "post_not_found", "There is no such post"


class CommentNotFound(NotFound):
    code, title = "comment_not_found", "There is no such comment"


class PostNotYours(Forbidden):
    code, title = "post_not_yours", "Only its author may delete a post"


class CommentNotYours(Forbidden):
    code, title = "comment_not_yours", "Only its author, and the author of its post, may delete a comment"


class PictureTooLarge(PayloadTooLarge):
    code, title = "file_too_large", "The picture is larger than a post, or the account's tier, may have"


class PictureTypeNotTaken(UnsupportedMediaType):
    code, title = "picture_type_not_taken", "A post takes PNG, JPEG and BMP pictures"


class PictureUnusable(Unprocessable):
    code, title = "picture_unusable", "The picture cannot be shown"


class MediaNotFound(NotFound):
    """The item is unknown or belongs to another account; the answer is the same."""

    code, title = "media_not_found", "There is no such item"


class MediaNotReady(Conflict):
    code, title = "media_not_ready", "The item is still being processed"


class MediaNotAPicture(Unprocessable):
    code, title = "media_not_a_picture", "The item is not a picture"


class QuotaExceeded(Forbidden):
    code, title = "quota_exceeded", "The account has no room for this"


class PicturesUnavailable(Unavailable):
    code, title = "pictures_unavailable", "Pictures cannot be stored at the moment"


PICTURE_REFUSALS: dict[str, type[Problem]] = {
    kind.code: kind
    for kind in (
        PictureTooLarge,
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


class ClaimOverQuota(Conflict):
    code, title = QuotaExceeded.code, QuotaExceeded.title


class ClaimFileTooLarge(Conflict):
    code, title = PictureTooLarge.code, "The gallery has a file larger than the account's tier allows"


class TierWithholds(Conflict):
    code, title = "tier_withholds", "The account's tier withholds what viewers of the gallery have now"


class ClaimInProgress(Conflict):
    code, title = "claim_in_progress", "Another account is claiming the gallery at this moment"


class ClaimsUnavailable(Unavailable):
    code, title = "claims_unavailable", "Galleries cannot be claimed at the moment"


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
