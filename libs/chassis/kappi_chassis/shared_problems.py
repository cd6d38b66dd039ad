"""Problems that more than one service answers with.

The services share them, so that a client cannot see which of them refused. A service's `errors.py`
exports those that it raises beside its own.
"""

from __future__ import annotations

from kappi_chassis.problems import (
    Conflict,
    Forbidden,
    NotFound,
    PayloadTooLarge,
    TooManyRequests,
    Unauthenticated,
    Unprocessable,
    UnsupportedMediaType,
)


class AdminRequired(Forbidden):
    code, title = "admin_required", "Only an administrator may do this"


class GalleryNotFound(NotFound):
    """The gallery is unknown, private, expired, deleted or another account's; the answer is the same."""

    code, title = "gallery_not_found", "There is no such gallery"


class GalleryKeyMissing(Unauthenticated):
    code, title = "gallery_key_missing", "The gallery's access key is needed"


class GalleryKeyWrong(Forbidden):
    """The key is unknown or belongs to another gallery.

    The answer is the same whether the requested gallery exists or not.
    """

    code, title = "gallery_key_wrong", "The access key does not open this gallery"


class ContributorKeyWrong(Forbidden):
    """The key is unknown, belongs to another gallery, or its contributor was removed."""

    code, title = "contributor_key_wrong", "The contributor key does not open this gallery"


class ContributionsClosed(Forbidden):
    """The gallery does not take items from contributors, or not any more."""

    code, title = "contributions_closed", "The gallery takes no contributions"


class GalleryTakenDown(Forbidden):
    """The answer to the manager of a gallery that was taken down. detail: the administrator's reason."""

    code, title = "gallery_taken_down", "An administrator took the gallery down"


class GalleryPasswordRequired(Unauthenticated):
    code, title = "gallery_password_required", "The gallery has a password"


class GalleryPasswordWrong(Unauthenticated):
    code, title = "gallery_password_wrong", "This is not the gallery's password"


class TooManyPasswordAttempts(TooManyRequests):
    code, title = "too_many_password_attempts", "Too many wrong passwords"


class MediaNotFound(NotFound):
    """The item is unknown or belongs to another account; the answer is the same."""

    code, title = "media_not_found", "There is no such item"


class MediaNotReady(Conflict):
    code, title = "media_not_ready", "The item is still being processed"


class MediaNotAPicture(Unprocessable):
    code, title = "media_not_a_picture", "The item is not a picture"


class UploadNotFound(NotFound):
    code, title = "upload_not_found", "There is no such upload"


class LinkNotFound(NotFound):
    """The link never existed, was revoked, was removed, or lost its item; the answer is the same."""

    code, title = "link_not_found", "There is no such link"


class PostNotFound(NotFound):
    """The post never existed, was deleted, or its picture is still being stored; the answer is the same."""

    code, title = "post_not_found", "There is no such post"


class PictureTypeNotTaken(UnsupportedMediaType):
    """The content is of another type, whatever its name or declared type says."""

    code, title = "picture_type_not_taken", "A post takes PNG, JPEG and BMP pictures"


class PictureUnusable(Unprocessable):
    code, title = "picture_unusable", "The picture cannot be shown"


class FileTooLarge(PayloadTooLarge):
    """A file, or the picture of a post. detail: the largest that is allowed."""

    code, title = "file_too_large", "A file is larger than the tier allows"


class QuotaExceeded(Forbidden):
    code, title = "quota_exceeded", "The account has no room for this"


class ClaimInProgress(Conflict):
    code, title = "claim_in_progress", "An account is claiming the gallery at this moment"


class TierWithholds(Conflict):
    code, title = "tier_withholds", "The account's tier withholds what viewers of the gallery have now"
