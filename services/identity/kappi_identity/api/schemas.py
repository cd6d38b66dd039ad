"""The HTTP request and response bodies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

from kappi_chassis.http.unknown_fields import RequestBody
from kappi_chassis.time_left import seconds_left
from kappi_contracts.tiers import TierRules
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from kappi_identity.domain.accounts import (
    MAX_DISPLAY_NAME_CHARACTERS,
    MAX_PASSWORD_CHARACTERS,
    MIN_PASSWORD_CHARACTERS,
    Account,
    Role,
    Session,
    TextRefused,
    clean_display_name,
)
from kappi_identity.domain.email_address import MAX_EMAIL_CHARACTERS, read_email
from kappi_identity.domain.moderation import MAX_REASON_CHARACTERS, Takedown, clean_gallery, clean_reason
from kappi_identity.domain.tiers import (
    MAX_FILE_BYTES,
    MAX_NAME_CHARACTERS,
    MAX_QUOTA_BYTES,
    MAX_SIZE_PX,
    MAX_SIZES,
    MIN_SIZE_PX,
    Tier,
    clean_sizes,
    clean_tier_name,
)

R = TypeVar("R")
LONGEST_SECRET = 1_024
_TIER_EXAMPLE: JsonDict = {
    "name": "Studio",
    "rendition_sizes": [123, 777],
    "original_access": True,
    "expiring_links": False,
    "max_file_bytes": 5_368_709_120,
    "quota_bytes": 1_099_511_627_776,
}


def refused_as_field(read: Callable[[Any], R]) -> Callable[[Any], R]:
    """Returns a validator made of a domain rule; a refusal becomes an error of the field."""

    def validate(value: Any) -> R:
        try:
            return read(value)
        except TextRefused as refused:
            raise PydanticCustomError(refused.code, "{reason}", {"reason": str(refused)}) from refused

    return validate


def _address(text: str) -> str:
    read_email(text)
    return text


Email = Annotated[
    str,
    AfterValidator(refused_as_field(_address)),
    Field(
        max_length=MAX_EMAIL_CHARACTERS, json_schema_extra={"format": "email"}, examples=["ada@example.com"]
    ),
]
DisplayName = Annotated[
    Annotated[str, AfterValidator(refused_as_field(clean_display_name))] | None,
    Field(
        description=f"One line of at most {MAX_DISPLAY_NAME_CHARACTERS} characters",
        json_schema_extra={"maxLength": MAX_DISPLAY_NAME_CHARACTERS},
        examples=["Ada"],
    ),
]
NewPassword = Annotated[
    str,
    Field(
        max_length=LONGEST_SECRET,
        description=f"{MIN_PASSWORD_CHARACTERS} to {MAX_PASSWORD_CHARACTERS} characters of any kind. The "
        "email address and the most common passwords are refused",
        json_schema_extra={"format": "password"},
        examples=["correct horse battery staple"],
    ),
]
CurrentPassword = Annotated[str, Field(max_length=LONGEST_SECRET, json_schema_extra={"format": "password"})]


class AccountCreate(RequestBody):
    """The data of a new account."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "email": "ada@example.com",
                    "password": "correct horse battery staple",
                    "display_name": "Ada",
                }
            ]
        }
    )

    email: Email
    password: NewPassword
    display_name: DisplayName = None


class AccountPatch(RequestBody):
    """The changes of an account. A field that is not sent stays as it is. null removes the display name."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"display_name": "Ada L."}]})

    display_name: DisplayName = None


class AccountAnswer(BaseModel):
    """An account as its owner and administrators see it."""

    id: UUID
    email: str
    display_name: str | None
    tier: str = Field(description="The name of the tier whose rules apply", examples=["Basic"])
    role: Role
    created_at: datetime
    suspended_at: datetime | None = Field(
        description="The time of its suspension; null for an account that may log in"
    )
    suspension_reason: str | None = Field(description="The reason that its owner gets when logging in")

    @classmethod
    def of(cls, account: Account) -> AccountAnswer:
        return cls.model_validate(account, from_attributes=True)


class AccountPage(BaseModel):
    items: list[AccountAnswer]
    next_cursor: str | None


class PasswordChange(RequestBody):
    current_password: CurrentPassword
    password: NewPassword


class AccountDeletion(RequestBody):
    """The proof that the owner deletes the account. It is not needed within minutes of a login."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"password": "quiet harbour lamp"}]})

    password: CurrentPassword


class ResetRequestBody(RequestBody):
    """A request for a new password. The answer does not reveal whether there is such an account."""

    email: Annotated[str, Field(max_length=LONGEST_SECRET, examples=["ada@example.com"])]


class ResetBody(RequestBody):
    password: NewPassword


class SessionAnswer(BaseModel):
    """A login."""

    id: UUID
    device: str | None = Field(description="The name that the client program gave")
    created_at: datetime
    last_used_at: datetime = Field(description="The time at which it last got tokens")
    expires_at: datetime = Field(description="The time at which it ends, unless it is used before")
    expires_in: int = Field(description="Seconds until `expires_at`")
    current: bool = Field(description="Whether it is the login of this request")

    @classmethod
    def of(cls, session: Session, *, current: UUID, now: datetime) -> SessionAnswer:
        return cls(
            id=session.id,
            device=session.device,
            created_at=session.created_at,
            last_used_at=session.last_used_at,
            expires_at=session.expires_at,
            expires_in=seconds_left(session.expires_at, now=now),
            current=session.id == current,
        )


class SessionPage(BaseModel):
    items: list[SessionAnswer]
    next_cursor: str | None


class TokenAnswer(BaseModel):
    """The tokens of a login (RFC 6749, 5.1)."""

    access_token: str = Field(description="For `Authorization: Bearer`; a JWT signed with EdDSA")
    token_type: str = Field(description="`Bearer`", examples=["Bearer"])
    expires_in: int = Field(description="Seconds for which the access token is valid", examples=[600])
    refresh_token: str = Field(description="Valid once; its use returns the next one")
    device_token: str | None = Field(
        default=None,
        description="Only in the answer to a password. Store it, also after a log-out, and send it with the "
        "next password: wrong passwords of other clients do not count for a device that sends it",
        examples=["kappi_dt_…"],
    )


TierName = Annotated[
    str,
    AfterValidator(refused_as_field(clean_tier_name)),
    Field(description=f"The tier's name, at most {MAX_NAME_CHARACTERS} characters", examples=["Studio"]),
]
Sizes = Annotated[
    list[Annotated[int, Field(strict=True, ge=MIN_SIZE_PX, le=MAX_SIZE_PX)]],
    AfterValidator(refused_as_field(lambda sizes: list(clean_sizes(sizes)))),
    Field(max_length=MAX_SIZES, description="Heights of renditions, pixels", examples=[[200, 400]]),
]
FileBytes = Annotated[int, Field(strict=True, ge=1, le=MAX_FILE_BYTES, description="Largest file, bytes")]
QuotaBytes = Annotated[
    Annotated[int, Field(strict=True, ge=0, le=MAX_QUOTA_BYTES)] | None,
    Field(description="Storage of one account, bytes; null for no limit"),
]
Flag = Annotated[bool, Field(strict=True)]


class TierCreate(RequestBody):
    model_config = ConfigDict(json_schema_extra={"examples": [_TIER_EXAMPLE]})

    name: TierName
    rendition_sizes: Sizes
    original_access: Flag = False
    expiring_links: Flag = False
    max_file_bytes: FileBytes
    quota_bytes: QuotaBytes = None

    def rules(self) -> TierRules:
        rules = self.model_dump(exclude={"name", "rendition_sizes"})
        return TierRules(rendition_sizes=tuple(self.rendition_sizes), **rules)


class TierPatch(RequestBody):
    """The changes of a tier. A field that is not sent stays as it is."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"rendition_sizes": [200, 400, 1_200], "quota_bytes": None}]}
    )

    # Null would mean nothing for these fields, so a default that is never used stands for "not sent".
    rendition_sizes: Sizes = Field(default=[])
    original_access: Flag = False
    expiring_links: Flag = False
    max_file_bytes: FileBytes = 1
    quota_bytes: QuotaBytes = None


class TierAnswer(BaseModel):
    """The rules of a tier."""

    model_config = ConfigDict(json_schema_extra={"examples": [_TIER_EXAMPLE]})

    name: str
    rendition_sizes: list[int]
    original_access: bool
    expiring_links: bool
    max_file_bytes: int
    quota_bytes: int | None

    @classmethod
    def of(cls, tier: Tier) -> TierAnswer:
        return cls(name=tier.name, **asdict(tier.rules))


class TierPage(BaseModel):
    items: list[TierAnswer]
    next_cursor: str | None


Reason = Annotated[
    str,
    AfterValidator(refused_as_field(clean_reason)),
    Field(
        description=f"The reason that the owner gets: one line of at most {MAX_REASON_CHARACTERS} characters",
        json_schema_extra={"maxLength": MAX_REASON_CHARACTERS},
        examples=["Reported as spam"],
    ),
]


class Suspension(RequestBody):
    reason: Reason


class TakedownCreate(RequestBody):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"gallery": "k7wq", "reason": "Reported as spam"}]}
    )

    gallery: Annotated[
        str,
        AfterValidator(refused_as_field(clean_gallery)),
        Field(max_length=LONGEST_SECRET, description="The id or the code of a gallery, or its link"),
    ]
    reason: Reason


class TakedownAnswer(BaseModel):
    """The decision that took a gallery down."""

    id: UUID
    gallery: str = Field(description="The id of the gallery, or its code at that time")
    reason: str
    ordered_by: UUID = Field(description="The administrator's account")
    ordered_at: datetime
    lifted_by: UUID | None
    lifted_at: datetime | None = Field(description="null while the gallery is down")

    @classmethod
    def of(cls, takedown: Takedown) -> TakedownAnswer:
        return cls.model_validate(takedown, from_attributes=True)


class TakedownPage(BaseModel):
    items: list[TakedownAnswer]
    next_cursor: str | None


class TierChoice(RequestBody):
    model_config = ConfigDict(json_schema_extra={"examples": [{"tier": "Premium"}]})

    tier: Annotated[str, Field(max_length=MAX_NAME_CHARACTERS, description="A tier's name, in any case")]
