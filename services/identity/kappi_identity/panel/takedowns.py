"""The panel's view of takedowns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from kappi_chassis.problems import Problem
from starlette.requests import Request
from starlette_admin import DateTimeField, StringField
from starlette_admin.exceptions import ActionFailed, FormValidationError
from starlette_admin.fields import BaseField
from starlette_admin.filters.base import FilterGroup

from kappi_identity.domain.accounts import AccountId, TextRefused
from kappi_identity.domain.moderation import MAX_REASON_CHARACTERS, Takedown, clean_gallery, clean_reason
from kappi_identity.panel.views import MAX_PAGE, View, plain, uuid_of
from kappi_identity.repository.takedowns import TakedownQueries
from kappi_identity.use_cases.administration import Administration


class TakedownsView(View):
    """Creating an entry takes a gallery down, and deleting it lifts the takedown; the entry stays."""

    key = "takedowns"
    menu_label = "Take-downs"
    display_name = "Take-down"
    icon = "fa fa-ban"
    pk_attr = "id"
    searchable_fields: Sequence[str] | None = ("gallery", "reason")

    def __init__(self, administration: Administration, *, takedowns: TakedownQueries) -> None:
        self._administration = administration
        self._takedowns = takedowns
        self.fields: Sequence[BaseField] = plain(
            StringField("id", exclude_from_list=True, exclude_from_create=True),
            StringField("gallery", required=True, help_text="The id or the code of a gallery, or its link"),
            StringField(
                "reason",
                required=True,
                maxlength=MAX_REASON_CHARACTERS,
                help_text="What the owner is told",
            ),
            StringField("ordered_by", exclude_from_list=True, exclude_from_create=True),
            DateTimeField("ordered_at", exclude_from_create=True),
            DateTimeField("lifted_at", exclude_from_create=True),
        )
        super().__init__()

    def can_edit(self, request: Request) -> bool:
        return False

    async def find_all(
        self,
        request: Request,
        skip: int = 0,
        limit: int = 100,
        q: str | None = None,
        sorts: Sequence[tuple[str, str]] | None = None,
        filters: FilterGroup | None = None,
    ) -> Sequence[Takedown]:
        wanted = min(limit, MAX_PAGE) if limit > 0 else MAX_PAGE
        return await self._takedowns.page(containing=q, before=None, limit=wanted, skip=skip)

    async def count(self, request: Request, q: str | None = None, filters: FilterGroup | None = None) -> int:
        return await self._takedowns.count(containing=q)

    async def find_by_pk(self, request: Request, pk: Any) -> Takedown | None:
        takedown_id = uuid_of(pk)
        return None if takedown_id is None else await self._takedowns.find(takedown_id)

    async def create(self, request: Request, data: dict[str, Any]) -> Takedown:
        admin_id: AccountId = request.state.admin_id
        errors: dict[str | int, Any] = {}
        cleaned: dict[str, str] = {}
        for field, clean in (("gallery", clean_gallery), ("reason", clean_reason)):
            try:
                cleaned[field] = clean(str(data.get(field) or ""))
            except TextRefused as refused:
                errors[field] = str(refused)
        if errors:
            raise FormValidationError(errors)
        return await self._administration.take_gallery_down(
            cleaned["gallery"], reason=cleaned["reason"], by=admin_id
        )

    async def edit(self, request: Request, pk: Any, data: dict[str, Any]) -> NoReturn:
        raise ActionFailed("Lift it, and take the gallery down anew.")

    async def delete(self, request: Request, pks: list[Any]) -> int:
        admin_id: AccountId = request.state.admin_id
        for pk in pks:
            takedown_id = uuid_of(pk)
            try:
                if takedown_id is not None:
                    await self._administration.lift_takedown(takedown_id, by=admin_id)
            except Problem as problem:
                raise ActionFailed(f"{pk}: {problem.title}.") from problem
        return len(pks)

    async def repr(self, obj: Any, request: Request) -> str:
        return str(obj.gallery)
