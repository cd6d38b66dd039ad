"""The dependencies of the media service's use cases."""

from __future__ import annotations

from dataclasses import dataclass, field

from kappi_chassis.auth.verifier import Fetch
from kappi_chassis.dependencies import ServiceDependencies
from kappi_chassis.storage import ObjectHead, ObjectStore, UrlSigner

from kappi_media.rendering.renderer import Renderer
from kappi_media.single_flight import SingleFlight
from kappi_media.use_cases.sidecars import SidecarReading


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies(ServiceDependencies):
    """The dependencies of the use cases. grant_keys, account_keys: the published keys of grants and of access
    tokens.

    joins, hashing: work under way on the parts and bytes of uploads, see `Multiparts` and `CompleteUpload`.
    reading: reads sidecars.
    """

    store: ObjectStore
    signer: UrlSigner
    grant_keys: Fetch
    account_keys: Fetch
    joins: SingleFlight[str, ObjectHead] = field(default_factory=SingleFlight)
    hashing: SingleFlight[str, bytes | None] = field(default_factory=SingleFlight)
    reading: SidecarReading = field(default_factory=Renderer)
