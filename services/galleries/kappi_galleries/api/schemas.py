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
    MAX_PASSWORD_CHARACTERS,
    MAX_TITLE_CHARACTERS,
    MIN_LIFETIME,
    Gallery,
    PasswordRefused,
    TitleRefused,
    clean_title,
    read_password,
)
from kappi_galleries.domain.links import Links

_ACCESS_KEY = "kappi_mfrggzdfmztwq2lknnwg23tpoa"
_MIN_LIFETIME_S = int(MIN_LIFETIME.total_seconds())


def _title(text: str) -> str | None:
    try:
        return clean_title(text)
    except TitleRefused as refused:
        raise PydanticCustomError(refused.code, str(refused)) from refused


def _password(text: str) -> str:
    try:
        return read_password(text)
    except PasswordRefused as refused:
        raise PydanticCustomError("password_refused", str(refused)) from refused


Title = Annotated[
    Annotated[str, AfterValidator(_title)] | None,
    Field(
        description=f"One line of at most {MAX_TITLE_CHARACTERS} characters, white space around it dropped",
        json_schema_extra={"maxLength": MAX_TITLE_CHARACTERS},
        examples=["Lisbon in May"],
    ),
]
LifetimeSeconds = Annotated[
    Annotated[int, Field(strict=True, json_schema_extra={"minimum": _MIN_LIFETIME_S})] | None,
    Field(
        description="Seconds from now until the gallery is deleted; an hour to 30 days. Not for the "
        "gallery of an account, which has no end",
        examples=[604_800],
    ),
]
Password = Annotated[
    Annotated[str, AfterValidator(_password)] | None,
    Field(
        description=f"What viewers are asked for, 1 to {MAX_PASSWORD_CHARACTERS} characters. Only galleries "
        "of an account can have one; null for none",
        json_schema_extra={"format": "password", "maxLength": MAX_PASSWORD_CHARACTERS},
    ),
]
VisibilityChoice = Annotated[
    Literal["shared", "private"] | None,
    Field(
        description="`shared`: whoever has the code may look. `private`, for the gallery of an account: "
        "nobody but its owner, and to everybody else it does not exist"
    ),
]
LocationFreeChoice = Annotated[
    Annotated[bool, Field(strict=True)] | None,
    Field(
        description="Whether whoever comes by the code gets copies of originals that do not tell where they "
        "were taken; the picture itself is untouched. Who manages the gallery still gets the originals"
    ),
]


class GalleryFields(RequestBody):
    """The fields of a gallery that its manager sets."""

    title: Title = None
    visibility: VisibilityChoice = None
    password: Password = None
    expires_in: LifetimeSeconds = None
    location_free: LocationFreeChoice = None


class GalleryCreate(GalleryFields):
    """What a new gallery should be like. Everything is optional."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "Lisbon in May"}]})


class GalleryPatch(GalleryFields):
    """What to change; a field that is not sent stays as it is. `null` takes a title or a password away."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "Lisbon", "expires_in": 2_592_000}]})

    keep_code: bool = Field(
        default=False,
        strict=True,
        description="Whether a private gallery that is shared has the code it had before; else it gets a new "
        "one, and links that were withdrawn stay dead",
    )


class GalleryClaim(RequestBody):
    """How to claim a gallery."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"accept_tier": True}]})

    accept_tier: bool = Field(
        default=False,
        strict=True,
        description="Claim it although the account's tier withholds what viewers of the gallery have now",
    )


class GalleryAnswer(BaseModel):
    """A gallery as its manager sees it."""

    id: UUID
    code: str | None = Field(
        description="What people type; case does not matter. null while the gallery is private",
        examples=["k7wq"],
    )
    url: str | None = Field(description="The link to share", examples=["https://kappi.example/g/k7wq"])
    title: str | None
    visibility: Literal["shared", "private"]
    password_protected: bool
    location_free: bool = Field(
        description="Viewers get copies of originals that do not tell where they were taken"
    )
    takedown_reason: str | None = Field(
        description="Why an administrator took the gallery down: what is in it is not shown, and its code "
        "opens nothing. null for a gallery that is not down"
    )
    expires_at: datetime | None = Field(description="When it is deleted; null for never")
    expires_in: int | None = Field(description="Seconds until then")
    created_at: datetime
    updated_at: datetime
    item_count: int = Field(description="Items that are ready; follows changes within moments")
    size_bytes: int = Field(description="Bytes of their originals")

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
    """A gallery just made; without an account, with its access key: shown now and never again."""

    access_key: str | SkipJsonSchema[None] = Field(
        default=None,
        description="Only of a gallery without an account. Lets its holder add, change and delete. Only a "
        "hash of it is kept: store it",
        examples=[_ACCESS_KEY],
    )


class GalleryPageAnswer(BaseModel):
    """Some galleries, the newest first."""

    items: list[GalleryAnswer]
    next_cursor: str | None = Field(description="For `cursor`, to get the next page; null on the last one")


class GalleryCodeAnswer(BaseModel):
    """The new code of a gallery."""

    code: str | None = Field(description="null while the gallery is private", examples=["k7wq"])
    url: str | None = Field(description="The link to share", examples=["https://kappi.example/g/k7wq"])


class AccessKeyAnswer(BaseModel):
    """The new access key of a gallery: shown now and never again."""

    access_key: str = Field(description="Only a hash of it is kept: store it", examples=[_ACCESS_KEY])
