from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar

import msgspec

TYPE_PREFIX = "gg.kappi"

Instant = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with its offset, RFC 3339 on the wire."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every event. Unknown fields are ignored, so that old consumers can read new events."""

    version: ClassVar[int] = 1
    aggregate: ClassVar[str] = ""
    """Name of the field that identifies the aggregate; its value is the Kafka key."""
    acts_as_of: ClassVar[str] = ""
    """Name of the field with the time as of which to act; such an event has an `origin`, too."""
    deprecated: ClassVar[bool] = False
    """Whether the version may be removed after a release that has it like this."""

    @classmethod
    def topic_name(cls) -> str:
        """Returns the unprefixed topic: the event's name, the same for all its versions."""
        suffix = f"V{cls.version}"
        return cls.__name__.removesuffix(suffix) if cls.version > 1 else cls.__name__

    @classmethod
    def ce_type(cls) -> str:
        """Returns the CloudEvents `type`, for example `gg.kappi.GalleryCreated.v1`."""
        return f"{TYPE_PREFIX}.{cls.topic_name()}.v{cls.version}"

    @classmethod
    def document_name(cls) -> str:
        """Returns the name of the version's files, for example `GalleryCreated.v1`."""
        return f"{cls.topic_name()}.v{cls.version}"

    def key(self) -> str:
        """Returns the Kafka key and CloudEvents `subject`: the aggregate's id."""
        return str(getattr(self, self.aggregate))
