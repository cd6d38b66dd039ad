"""The expected failures, with their stable codes."""

from __future__ import annotations

from kappi_chassis.problems import (
    Conflict,
    Forbidden,
    Gone,
    NotFound,
    Problem,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    Unprocessable,
    UnsupportedMediaType,
)
from kappi_chassis.shared_problems import (
    ClaimInProgress as ClaimInProgress,
    ContributionsClosed as ContributionsClosed,
    ContributorKeyWrong as ContributorKeyWrong,
    FileTooLarge as FileTooLarge,
    GalleryKeyWrong as GalleryKeyWrong,
    GalleryNotFound as GalleryNotFound,
    LinkNotFound as LinkNotFound,
    MediaNotAPicture as MediaNotAPicture,
    MediaNotFound as MediaNotFound,
    MediaNotReady as MediaNotReady,
    PictureTypeNotTaken as PictureTypeNotTaken,
    PictureUnusable as PictureUnusable,
    PostNotFound as PostNotFound,
    QuotaExceeded as QuotaExceeded,
    TierWithholds as TierWithholds,
    UploadNotFound as UploadNotFound,
)


class RenditionUrlInvalid(Forbidden):
    code, title = "rendition_url_invalid", "The signed URL is not good, or not any more"


class PlaylistUrlInvalid(Forbidden):
    code, title = "playlist_url_invalid", "The signed URL is not good, or not any more"


class DownloadUrlInvalid(Forbidden):
    code, title = "download_url_invalid", "The signed URL is not good, or not any more"


class RightMissing(Forbidden):
    code, title = "right_missing", "These credentials do not allow this"


class ContributionLimitExceeded(Conflict):
    code, title = "contribution_limit_exceeded", "The gallery takes no more from contributors"


class TooManyTags(Unprocessable):
    """An outcome of one item among many."""

    code, title = "too_many_tags", "The item would have more tags than one may have"


class ReservationBudgetExceeded(TooManyRequests):
    code, title = "too_much_promised", "Too much is promised and not completed"


class UnsupportedContentType(Unprocessable):
    code, title = "unsupported_content_type", "A file is of a type Kappi does not take"


class FileTypeNotTaken(UnsupportedContentType):
    """The same code, for a file in the body itself."""

    status = UnsupportedMediaType.status


class UploadIncomplete(Conflict):
    code, title = "upload_incomplete", "The bytes are not in the store yet"


class UploadExpired(Conflict):
    code, title = "upload_expired", "The upload took too long"


class UploadNotMultipart(Conflict):
    code, title = "upload_not_multipart", "The upload has no parts: it is sent in one request"


class UploadAborted(Conflict):
    code, title = "upload_aborted", "The upload was aborted"


class UploadCompletedAlready(Conflict):
    code, title = "upload_completed", "The upload is completed: delete the item instead"


class TooManyMoves(Unprocessable):
    """An outcome of one item among many."""

    code, title = "too_many_moves", "The account moved as much as it may for the moment"


class MoveFailed(Unprocessable):
    """An outcome of one item among many."""

    code, title = "move_failed", "The item could not be moved"


class OrderExhausted(Conflict):
    code, title = "order_exhausted", "No more items fit between these two"


class TooManyToSort(Unprocessable):
    code, title = "too_many_to_sort", "The gallery has too many items to sort them at once"


class SortBusy(Unavailable):
    code, title = "sort_busy", "Too many galleries are being sorted at the moment"


class CoverNotFound(NotFound):
    code, title = "cover_not_found", "The gallery has no picture yet"


class ContentMismatch(Unprocessable):
    code, title = "content_mismatch", "The content is not what was declared"


class LinksNotInTier(Forbidden):
    code, title = "links_not_in_tier", "Expiring links are not part of the gallery's tier"


class LinkExpired(Gone):
    code, title = "link_expired", "The link has expired"


class OriginalNotInTier(Forbidden):
    code, title = "original_not_in_tier", "Originals are not part of the gallery's tier"


class RenditionNotInTier(Forbidden):
    code, title = "rendition_not_in_tier", "This size is not part of the gallery's tier"


class RenditionImpossible(Unprocessable):
    code, title = "rendition_impossible", "This item has no rendition of this size"


class RenditionsBusy(Unavailable):
    code, title = "renditions_busy", "Too many renditions are being made at the moment"


class MediaNotAFilm(Unprocessable):
    code, title = "media_not_a_film", "The item is not a film"


class FilmNotLong(Unprocessable):
    """Answered to a request for a playlist."""

    code, title = "film_not_long", "The film is too short for a playlist"


class PlaybackNotInTier(Forbidden):
    code, title = "playback_not_in_tier", "The film is longer than the gallery's tier makes playable"


class PlaybackImpossible(Unprocessable):
    code, title = "playback_impossible", "This film cannot be made playable"


class PlaybacksBusy(Unavailable):
    code, title = "playbacks_busy", "Too many films wait to be made playable at the moment"


class LocationNotRemovable(Unprocessable):
    """Answered in a gallery that hides places. Its manager can still get the original."""

    code, title = "location_not_removable", "The place cannot be taken out of this file"


class LocationFreePending(Unavailable):
    code, title = "location_free_pending", "The copy without a place is still being made"


class ArchiveEmpty(Conflict):
    code, title = "archive_empty", "There is nothing in the gallery to download yet"


class ArchiveChanged(Problem):
    status, code, title = 412, "archive_changed", "The gallery's archive is another one by now"


class ArchiveRangeUnsatisfiable(Problem):
    status, code, title = 416, "range_not_satisfiable", "The range lies outside the archive"


class ArchiveBusy(Unavailable):
    code, title = "archive_busy", "Too many archives are being sent at the moment"


class StoreTokenWrong(Unauthenticated):
    """Answered to the object store only."""

    code, title = "store_token_wrong", "The store's token is missing or wrong"


class StoreEventUnreadable(Unprocessable):
    code, title = "store_event_unreadable", "The store's message cannot be read"


class StoreUnavailable(Unavailable):
    code, title = "store_unavailable", "The object store does not answer at the moment"
