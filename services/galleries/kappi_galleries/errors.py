"""Expected failures, with the codes clients switch on."""

from __future__ import annotations

from kappi_chassis.problems import (
    FieldError,
    Forbidden,
    NotFound,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    Unprocessable,
)


class GalleryKeyMissing(Unauthenticated):
    code, title = "gallery_key_missing", "The gallery's access key is needed"


class GalleryKeyWrong(Forbidden):
    """Unknown keys and keys of other galleries alike, whether the gallery asked for exists or not."""

    code, title = "gallery_key_wrong", "The access key does not open this gallery"


class AdminRequired(Forbidden):
    code, title = "admin_required", "Only an administrator may do this"


class GalleryNotFound(NotFound):
    """Unknown, private, expired and deleted galleries, and those of other accounts, alike."""

    code, title = "gallery_not_found", "There is no such gallery"


class AccountRequired(Unprocessable):
    """fields: those asked for that an anonymous gallery cannot have."""

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


class CodesExhausted(Unavailable):
    code, title = "codes_exhausted", "No free code was found"
