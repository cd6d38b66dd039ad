"""The use cases of administrators, which the API and the panel share."""

from __future__ import annotations

from dataclasses import dataclass

from kappi_identity.use_cases.moderation import (
    LiftTakedown,
    ReinstateAccount,
    SuspendAccount,
    TakeGalleryDown,
)
from kappi_identity.use_cases.tiers import ChangeTier, CreateTier, DeleteTier, SetTier


@dataclass(frozen=True, slots=True, kw_only=True)
class Administration:
    """The actions of an administrator."""

    create_tier: CreateTier
    change_tier: ChangeTier
    delete_tier: DeleteTier
    set_tier: SetTier
    suspend_account: SuspendAccount
    reinstate_account: ReinstateAccount
    take_gallery_down: TakeGalleryDown
    lift_takedown: LiftTakedown
