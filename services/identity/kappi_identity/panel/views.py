"""The panel's views of tiers and accounts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NoReturn
from uuid import UUID

from kappi_chassis.problems import Problem
from kappi_contracts.tiers import ANONYMOUS_TIER
from pydantic import ValidationError
from starlette.requests import Request
from starlette_admin import BaseModelView, BooleanField, DateTimeField, EnumField, StringField
from starlette_admin.exceptions import ActionFailed, FormValidationError
from starlette_admin.fields import BaseField, IntegerField
from starlette_admin.filters.base import FilterGroup

from kappi_identity.api.schemas import TierCreate
from kappi_identity.domain.accounts import Account, AccountId, TextRefused
from kappi_identity.domain.moderation import MAX_REASON_CHARACTERS, clean_reason
from kappi_identity.domain.tiers import Tier
from kappi_identity.repository.accounts import AccountQueries
from kappi_identity.repository.tiers import TierQueries
from kappi_identity.use_cases.administration import Administration

MAX_PAGE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class TierLine:
    """A tier as the panel's forms show it. rendition_sizes: separated by commas."""

    name: str
    rendition_sizes: str
    original_access: bool
    expiring_links: bool
    max_file_bytes: int
    quota_bytes: int | None

    @classmethod
    def of(cls, tier: Tier) -> TierLine:
        sizes = ", ".join(map(str, tier.rules.rendition_sizes))
        return cls(name=tier.name, **{**asdict(tier.rules), "rendition_sizes": sizes})


class View(BaseModelView):
    """The base of the views, without features that would bypass the use cases: import, export, filters,
    sorting.
    """

    exporters: Sequence[Any] = ()
    importers: Sequence[Any] = ()
    sortable_fields: Sequence[str] | None = ()
    fields_default_sort: Sequence[tuple[str, bool] | str] | None = ()
    column_visibility = False
    page_size = 25
    page_size_options: Sequence[int] = (25, MAX_PAGE)

    def can_export(self, request: Request) -> bool:
        return False

    def can_import(self, request: Request) -> bool:
        return False

    async def find_by_pks(self, request: Request, pks: list[Any]) -> Sequence[Any]:
        found = [await self.find_by_pk(request, pk) for pk in pks]
        return [line for line in found if line is not None]


class TiersView(View):
    key = "tiers"
    menu_label = "Tiers"
    display_name = "Tier"
    icon = "fa fa-layer-group"
    pk_attr = "name"
    show_pk_in_forms = True
    exclude_fields_from_edit = ("name",)
    searchable_fields: Sequence[str] | None = ()

    def __init__(self, administration: Administration, *, tiers: TierQueries) -> None:
        self._administration = administration
        self._tiers = tiers
        self.fields: Sequence[BaseField] = plain(
            StringField("name", required=True, maxlength=50),
            StringField(
                "rendition_sizes",
                required=True,
                placeholder="200, 400",
                help_text="Heights in pixels, with commas between",
            ),
            BooleanField("original_access"),
            BooleanField("expiring_links"),
            IntegerField("max_file_bytes", required=True, min=1, help_text="Largest file, bytes"),
            IntegerField("quota_bytes", min=0, help_text="Storage of one account, bytes; empty: no limit"),
        )
        super().__init__()

    async def find_all(
        self,
        request: Request,
        skip: int = 0,
        limit: int = 100,
        q: str | None = None,
        sorts: Sequence[tuple[str, str]] | None = None,
        filters: FilterGroup | None = None,
    ) -> Sequence[TierLine]:
        found = [TierLine.of(tier) for tier in await self._tiers.all()]
        return found[skip : skip + limit] if limit > 0 else found

    async def count(self, request: Request, q: str | None = None, filters: FilterGroup | None = None) -> int:
        return len(await self._tiers.all())

    async def find_by_pk(self, request: Request, pk: Any) -> TierLine | None:
        tier = await self._tiers.find(str(pk))
        return None if tier is None else TierLine.of(tier)

    async def create(self, request: Request, data: dict[str, Any]) -> TierLine:
        asked = _read(data)
        try:
            return TierLine.of(await self._administration.create_tier(asked.name, asked.rules()))
        except Problem as problem:
            refuse("name", problem)

    async def edit(self, request: Request, pk: Any, data: dict[str, Any]) -> TierLine:
        rules = _read({**data, "name": str(pk)}).rules()
        try:
            return TierLine.of(await self._administration.change_tier(str(pk), lambda _: rules))
        except Problem as problem:
            refuse("rendition_sizes", problem)

    async def delete(self, request: Request, pks: list[Any]) -> int:
        for pk in pks:
            try:
                await self._administration.delete_tier(str(pk))
            except Problem as problem:
                raise ActionFailed(f"{pk}: {problem.title}. {problem.detail}") from problem
        return len(pks)

    async def repr(self, obj: Any, request: Request) -> str:
        return str(obj.name)


class AccountsView(View):
    key = "accounts"
    menu_label = "Accounts"
    display_name = "Account"
    icon = "fa fa-users"
    pk_attr = "id"
    searchable_fields: Sequence[str] | None = ("email", "display_name")

    def __init__(
        self, administration: Administration, *, accounts: AccountQueries, tiers: TierQueries
    ) -> None:
        self._administration = administration
        self._accounts = accounts
        self._tiers = tiers
        self.fields: Sequence[BaseField] = plain(
            StringField("id", exclude_from_list=True),
            StringField("email", read_only=True),
            StringField("display_name", read_only=True),
            StringField("role", read_only=True),
            EnumField("tier", required=True, choices_loader=_tier_choices),
            StringField(
                "suspension_reason",
                label="Suspended because",
                maxlength=MAX_REASON_CHARACTERS,
                help_text="Suspends the account: it cannot log in and is told this, and its galleries are "
                "not shown. Empty: not suspended",
            ),
            DateTimeField("created_at", exclude_from_edit=True),
        )
        super().__init__()

    def can_create(self, request: Request) -> bool:
        return False

    def can_delete(self, request: Request) -> bool:
        return False

    async def find_all(
        self,
        request: Request,
        skip: int = 0,
        limit: int = 100,
        q: str | None = None,
        sorts: Sequence[tuple[str, str]] | None = None,
        filters: FilterGroup | None = None,
    ) -> Sequence[Account]:
        await self._load_tiers(request)
        wanted = min(limit, MAX_PAGE) if limit > 0 else MAX_PAGE
        return await self._accounts.page(containing=q, before=None, limit=wanted, skip=skip)

    async def count(self, request: Request, q: str | None = None, filters: FilterGroup | None = None) -> int:
        return await self._accounts.count(containing=q)

    async def find_by_pk(self, request: Request, pk: Any) -> Account | None:
        await self._load_tiers(request)
        account_id = uuid_of(pk)
        return None if account_id is None else await self._accounts.find(account_id)

    async def create(self, request: Request, data: dict[str, Any]) -> NoReturn:
        raise ActionFailed("Accounts are made by signing up.")

    async def edit(self, request: Request, pk: Any, data: dict[str, Any]) -> Account:
        account_id = UUID(str(pk))
        try:
            account = await self._administration.set_tier(account_id, str(data.get("tier") or ""))
        except Problem as problem:
            refuse("tier", problem)
        reason = str(data.get("suspension_reason") or "").strip()
        if reason == (account.suspension_reason or ""):
            return account
        admin_id: AccountId = request.state.admin_id
        try:
            if not reason:
                return await self._administration.reinstate_account(account_id, by=admin_id)
            return await self._administration.suspend_account(
                account_id, reason=clean_reason(reason), by=admin_id
            )
        except TextRefused as refused:
            raise FormValidationError({"suspension_reason": str(refused)}) from refused
        except Problem as problem:
            refuse("suspension_reason", problem)

    async def delete(self, request: Request, pks: list[Any]) -> NoReturn:
        raise ActionFailed("Accounts are deleted by their owners.")

    async def repr(self, obj: Any, request: Request) -> str:
        return str(obj.email)

    async def _load_tiers(self, request: Request) -> None:
        # The library asks for choices synchronously, so they are loaded before that.
        request.state.tier_names = [tier.name for tier in await self._tiers.all()]


def _tier_choices(request: Request) -> list[tuple[str, str]]:
    names = getattr(request.state, "tier_names", [])
    return [(name, name) for name in names if name != ANONYMOUS_TIER]


def plain(*fields: BaseField) -> tuple[BaseField, ...]:
    for field in fields:
        field.filters = []
    return fields


def _read(data: dict[str, Any]) -> TierCreate:
    """Returns the form as the API's request body. Raises FormValidationError."""
    errors: dict[str | int, Any] = {}
    sizes: list[int] = []
    try:
        sizes = [int(size) for size in str(data.get("rendition_sizes") or "").split(",") if size.strip()]
    except ValueError:
        errors["rendition_sizes"] = "Whole numbers with commas between."
    try:
        asked = TierCreate.model_validate({**data, "rendition_sizes": sizes})
    except ValidationError as invalid:
        for error in invalid.errors():
            errors.setdefault(str(error["loc"][0]), error["msg"])
        raise FormValidationError(errors) from invalid
    if errors:
        raise FormValidationError(errors)
    return asked


def refuse(field: str, problem: Problem) -> NoReturn:
    raise FormValidationError({field: f"{problem.title}. {problem.detail}"}) from problem


def uuid_of(pk: Any) -> UUID | None:
    try:
        return UUID(str(pk))
    except ValueError:
        return None
