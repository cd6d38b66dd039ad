"""The HTTP request and response bodies of contributors."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from kappi_chassis.http.unknown_fields import RequestBody
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from kappi_galleries.domain.contributors import (
    MAX_NAME_CHARACTERS,
    Contributor,
    ListedContributor,
    clean_name,
)
from kappi_galleries.domain.galleries import LineRefused


def _name(text: str) -> str | None:
    try:
        return clean_name(text)
    except LineRefused as refused:
        raise PydanticCustomError(refused.code, str(refused)) from refused


class ContributorCreate(RequestBody):
    """The fields of a new contributor. All of them are optional."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Grace"}]})

    name: Annotated[
        Annotated[str, AfterValidator(_name)] | None,
        Field(
            description="The name that viewers see at the contributor's items: one line of at most "
            f"{MAX_NAME_CHARACTERS} characters, without white space around it",
            json_schema_extra={"maxLength": MAX_NAME_CHARACTERS},
        ),
    ] = None


class ContributorCreatedAnswer(BaseModel):
    """A new contributor with its key, which is shown only in this answer."""

    id: UUID
    gallery_id: UUID = Field(description="The gallery that it may add items to")
    name: str | None
    contributor_key: str = Field(
        description="For the header `X-Contributor-Key`. The service stores only a hash of it, so the client "
        "must store it",
        examples=["kappi_mfrggzdfmztwq2lknnwg23tpoa"],
    )
    created_at: datetime

    @classmethod
    def of(cls, contributor: Contributor, key: str) -> ContributorCreatedAnswer:
        return cls(
            id=contributor.id,
            gallery_id=contributor.gallery_id,
            name=contributor.name,
            contributor_key=key,
            created_at=contributor.created_at,
        )


class ContributorAnswer(BaseModel):
    """A contributor as the gallery's manager sees it."""

    id: UUID
    name: str | None
    created_at: datetime
    item_count: int = Field(
        description="The number of its ready items in the gallery; changes are counted within seconds"
    )
    size_bytes: int = Field(description="The bytes of their originals")

    @classmethod
    def of(cls, listed: ListedContributor) -> ContributorAnswer:
        return cls(**{name: getattr(listed, name) for name in cls.model_fields})


class ContributorPageAnswer(BaseModel):
    """A page of contributors, the newest first."""

    items: list[ContributorAnswer]
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last page")
