"""The HTTP request and response bodies of galleries."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from kappi_chassis.http.unknown_fields import RequestBody
from kappi_chassis.time_left import seconds_left
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from kappi_galleries.domain.galleries import (
    MAX_CAP,
    MAX_PASSWORD_CHARACTERS,
    MAX_TITLE_CHARACTERS,
    MIN_LIFETIME,
    Gallery,
    LineRefused,
    PasswordRefused,
    clean_title,
    read_password,
)
from kappi_galleries.domain.links import Links

_ACCESS_KEY = "kappi_mfrggzdfmztwq2lknnwg23tpoa"
_MIN_LIFETIME_S = int(MIN_LIFETIME.total_seconds())


def _title(text: str) -> str | None:
    try:
        return clean_title(text)
    except LineRefused as refused:
        raise PydanticCustomError(refused.code, str(refused)) from refused


def _password(text: str) -> str:
    try:
        return read_password(text)
    except PasswordRefused as refused:
        raise PydanticCustomError("password_refused", str(refused)) from refused


Title = Annotated[
    Annotated[str, AfterValidator(_title)] | None,
    Field(
        description=f"One line of at most {MAX_TITLE_CHARACTERS} characters, without white space around it",
        json_schema_extra={"maxLength": MAX_TITLE_CHARACTERS},
        examples=["Lisbon in May"],
    ),
]
LifetimeSeconds = Annotated[
    Annotated[int, Field(strict=True, json_schema_extra={"minimum": _MIN_LIFETIME_S})] | None,
    Field(
        description="Seconds from now until the gallery is deleted: an hour to 30 days. A gallery of an "
        "account has no end, so the field is refused for it",
        examples=[604_800],
    ),
]
Password = Annotated[
    Annotated[str, AfterValidator(_password)] | None,
    Field(
        description=f"The password that viewers need, 1 to {MAX_PASSWORD_CHARACTERS} characters; null for "
        "none. Only galleries of an account can have one",
        json_schema_extra={"format": "password", "maxLength": MAX_PASSWORD_CHARACTERS},
    ),
]
VisibilityChoice = Annotated[
    Literal["shared", "private"] | None,
    Field(
        description="`shared`: the code opens the gallery. `private`, only for a gallery of an account: only "
        "its owner can read it; all other requests are answered as if it did not exist"
    ),
]
LocationFreeChoice = Annotated[
    Annotated[bool, Field(strict=True)] | None,
    Field(
        description="Whether viewers get copies of originals without the place where they were taken; the "
        "picture itself is unchanged. The manager of the gallery still gets the originals"
    ),
]


Cap = Annotated[int, Field(strict=True, ge=1, le=MAX_CAP)] | None
ViewCap = Annotated[
    Cap,
    Field(
        description="The number of views after which the gallery answers as one that has expired; null for "
        "no cap. A view is one answer of its first page to a caller that does not manage it",
        examples=[100],
    ),
]
DownloadCap = Annotated[
    Cap,
    Field(
        description="The number of downloads after which the gallery answers as one that has expired; null "
        "for no cap. A download is one original, or one archive, that is handed out to a caller that does "
        "not manage the gallery",
        examples=[10],
    ),
]


CoverChoice = Annotated[
    UUID | None,
    Field(
        description="The item that stands for the gallery in link previews. It has to be ready. null: the "
        "first ready item. It becomes null when the item is deleted or moved to another gallery"
    ),
]


ContributionsChoice = Annotated[
    Literal["closed", "open", "drop"] | None,
    Field(
        description="Whether holders of the code may become contributors and add items. `open`: they may. "
        "`drop`: they may, and each sees only its own items; viewers see none, the manager sees all. "
        "`closed`: they may not, and what they have not completed is refused"
    ),
]


class GalleryFields(RequestBody):
    """The fields of a gallery that its manager sets."""

    title: Title = None
    visibility: VisibilityChoice = None
    password: Password = None
    expires_in: LifetimeSeconds = None
    location_free: LocationFreeChoice = None
    max_views: ViewCap = None
    max_downloads: DownloadCap = None
    contributions: ContributionsChoice = None


class GalleryCreate(GalleryFields):
    """The fields of a new gallery. All of them are optional."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "Lisbon in May"}]})


class GalleryPatch(GalleryFields):
    """The changes of a gallery. A field that is not sent stays as it is. `null` removes a title, a password,
    a cap or a cover.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "Lisbon", "expires_in": 2_592_000}]})

    cover_media_id: CoverChoice = None
    keep_code: bool = Field(
        default=False,
        strict=True,
        description="Whether a private gallery that is shared again keeps its old code. Otherwise it gets a "
        "new code, and its old links stay void",
    )


class GalleryClaim(RequestBody):
    """The options of a claim."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"accept_tier": True}]})

    accept_tier: bool = Field(
        default=False,
        strict=True,
        description="Whether to claim the gallery although the account's tier withholds something that its "
        "viewers have now",
    )


class GalleryAnswer(BaseModel):
    """A gallery as its manager sees it."""

    id: UUID
    code: str | None = Field(
        description="The code that viewers type, in any case; null while the gallery is private",
        examples=["k7wq"],
    )
    url: str | None = Field(description="The link to share", examples=["https://kappi.example/g/k7wq"])
    title: str | None
    visibility: Literal["shared", "private"]
    password_protected: bool
    location_free: bool = Field(
        description="Whether viewers get copies of originals without the place where they were taken"
    )
    max_views: int | None = Field(description="The cap on views; null for none")
    views_used: int = Field(description="The views that were counted since the cap was set; 0 without one")
    max_downloads: int | None = Field(description="The cap on downloads; null for none")
    downloads_used: int = Field(
        description="The downloads that were counted since the cap was set; 0 without one"
    )
    cover_media_id: UUID | None = Field(
        description="The item that was named as cover; null where the first ready item stands for the gallery"
    )
    contributions: Literal["closed", "open", "drop"] = Field(
        description="Whether holders of the code may add items, and, in `drop`, see only their own"
    )
    takedown_reason: str | None = Field(
        description="The reason for which an administrator took the gallery down: its content is not shown, "
        "and its code opens nothing. null for a gallery that is not down"
    )
    expires_at: datetime | None = Field(
        description="The time at which the gallery is deleted; null for never"
    )
    expires_in: int | None = Field(description="Seconds until `expires_at`")
    created_at: datetime
    updated_at: datetime
    item_count: int = Field(description="The number of ready items; changes are counted within seconds")
    size_bytes: int = Field(description="The bytes of their originals")

    @classmethod
    def of(cls, gallery: Gallery, links: Links, *, now: datetime) -> GalleryAnswer:
        computed: dict[str, Any] = {
            "code": gallery.shown_code,
            "url": links.to(gallery),
            "expires_in": None if gallery.expires_at is None else seconds_left(gallery.expires_at, now=now),
        }
        stored = {name: getattr(gallery, name) for name in cls.model_fields if name not in computed}
        return cls(**stored, **computed)


class GalleryCreatedAnswer(GalleryAnswer):
    """A new gallery. An anonymous gallery has its access key, which is shown only in this answer."""

    access_key: str | SkipJsonSchema[None] = Field(
        default=None,
        description="Only for an anonymous gallery. The key is needed to add, change and delete. The service "
        "stores only a hash of it, so the client must store it",
        examples=[_ACCESS_KEY],
    )


class GalleryPageAnswer(BaseModel):
    """A page of galleries, the newest first."""

    items: list[GalleryAnswer]
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last page")


class GalleryCodeAnswer(BaseModel):
    """The new code of a gallery."""

    code: str | None = Field(description="null while the gallery is private", examples=["k7wq"])
    url: str | None = Field(description="The link to share", examples=["https://kappi.example/g/k7wq"])


class AccessKeyAnswer(BaseModel):
    """The new access key of a gallery, which is shown only in this answer."""

    access_key: str = Field(
        description="The service stores only a hash of it, so the client must store it",
        examples=[_ACCESS_KEY],
    )
