"""The providers this service reads, one module each. What they have in common is `Reader`; nothing is registered."""

from datetime import datetime, timedelta
from typing import Final, Protocol

import httpx

from processors.derive.ids import Ids
from processors.providers import todoist
from processors.providers.access import Access
from schemas.outcome import Fetching
from schemas.plan import Mapping, Page
from schemas.providers import Provider

__all__ = ["BY_NAME", "PROVIDERS", "Access", "Reader"]


class Reader(Protocol):
    """What a provider's module has."""

    @property
    def NAME(self) -> Provider: ...  # noqa: N802 - a constant of the module

    @property
    def RESOURCES(self) -> tuple[str, ...]:  # noqa: N802
        """The resources that have a cursor of their own."""
        ...

    @property
    def SAFETY_POLL(self) -> timedelta:  # noqa: N802
        """How often a resource is read that nothing was heard of."""
        ...

    async def fetch(
        self, client: httpx.AsyncClient, access: Access, position: str | None, ids: Ids, now: datetime
    ) -> Page | Fetching:
        """One page of changes since a position, or of everything. What an answer means is decided by its `classify`."""
        ...

    def shown(self, mapping: Mapping, now: datetime) -> bool:
        """Whether a full read that ends `now` would show this item if it still existed; else its absence means nothing."""
        ...


PROVIDERS: Final[tuple[Reader, ...]] = (todoist,)
BY_NAME: Final[dict[Provider, Reader]] = {provider.NAME: provider for provider in PROVIDERS}
