"""Expected failures, with the codes clients switch on."""

from __future__ import annotations

from kappi_chassis.problems import Forbidden, NotFound, Unauthenticated, Unavailable, Unprocessable


class GalleryKeyMissing(Unauthenticated):
    code, title = "gallery_key_missing", "The gallery's access key is needed"


class GalleryKeyWrong(Forbidden):
    """Unknown keys and keys of other galleries alike, whether the gallery asked for exists or not."""

    code, title = "gallery_key_wrong", "The access key does not open this gallery"


class GalleryNotFound(NotFound):
    """Unknown, private, expired and deleted galleries alike."""

    code, title = "gallery_not_found", "There is no such gallery"


class AccountRequired(Unprocessable):
    code, title = "account_required", "Only an account's gallery can have this"


class CodesExhausted(Unavailable):
    code, title = "codes_exhausted", "No free code was found"
