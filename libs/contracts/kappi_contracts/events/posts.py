from __future__ import annotations

from typing import ClassVar, Literal
from uuid import UUID

from kappi_contracts.events.base import Event, Instant


class PostCreated(Event, frozen=True, kw_only=True):
    """A post was published. Its caption is in no event."""

    aggregate: ClassVar[str] = "post_id"
    post_id: UUID
    author_id: UUID
    created_at: Instant


class PostDeleted(Event, frozen=True, kw_only=True):
    """A post was deleted: its picture may be removed, and its comments are gone.

    The comments of a deleted post have no events of their own. `abandoned`: the picture never arrived
    completely, and no PostCreated was ever published.
    """

    aggregate: ClassVar[str] = "post_id"
    post_id: UUID
    author_id: UUID
    reason: Literal["requested", "abandoned", "account_deleted"]
    deleted_at: Instant


class CommentAdded(Event, frozen=True, kw_only=True):
    """A comment was added to a post. The comment's text is in no event.

    author_id: the account that wrote the comment.
    """

    aggregate: ClassVar[str] = "post_id"
    post_id: UUID
    comment_id: UUID
    author_id: UUID
    post_author_id: UUID
    created_at: Instant


class CommentDeleted(Event, frozen=True, kw_only=True):
    """A comment of a post was deleted.

    author_id: the account that wrote the comment, not the one that deleted it.
    """

    aggregate: ClassVar[str] = "post_id"
    post_id: UUID
    comment_id: UUID
    author_id: UUID
    reason: Literal["requested", "account_deleted"]
    deleted_at: Instant
