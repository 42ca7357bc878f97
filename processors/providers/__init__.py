"""What this service reads, one module for each product of a provider. They have `Reader` in common; those whose provider
wants a subscription for each resource are a `Watcher`, too. Nothing is registered: the tuples below list them."""

from datetime import datetime, timedelta
from typing import Final, Protocol

import httpx

from processors.derive.ids import Ids
from processors.providers import google_calendar, todoist
from processors.providers.access import Access, Channel
from schemas.outcome import Fetching, Reauthorize, RetryAfter, Watching
from schemas.plan import Mapping, Page
from schemas.providers import Kind, Provider

__all__ = ["READERS", "WATCHERS", "Access", "Channel", "Reader", "Watcher", "reader", "roots", "watched", "watcher"]


class Reader(Protocol):
    """How a product is read. A resource is what has a cursor of its own; `product` or `product/…` is its name."""

    @property
    def PROVIDER(self) -> Provider: ...  # noqa: N802 - a constant of the module

    @property
    def PRODUCT(self) -> str:  # noqa: N802
        """What the names of its resources begin with."""
        ...

    @property
    def ROOTS(self) -> tuple[str, ...]:  # noqa: N802
        """The resources that every connection has. What they list may open others (`holds`)."""
        ...

    @property
    def SAFETY_POLL(self) -> timedelta:  # noqa: N802
        """How often a resource is read that nothing was heard of, although its changes are announced."""
        ...

    async def fetch(
        self, client: httpx.AsyncClient, access: Access, resource: str, position: str | None, ids: Ids, now: datetime
    ) -> Page | Fetching:
        """One page of changes since a position, or of everything. What an answer means is decided by its `classify`."""
        ...

    def holds(self, kind: Kind, external_id: str) -> str | None:
        """The resource that this item stands for: open while the item exists. None for one that stands for none."""
        ...

    def shown(self, mapping: Mapping, now: datetime) -> bool:
        """Whether a full read that ends `now` would show this item if it still existed; else its absence means nothing."""
        ...


class Watcher(Protocol):
    """How the changes of a resource come to be announced, where that has to be asked for."""

    @property
    def PROVIDER(self) -> Provider: ...  # noqa: N802

    @property
    def PRODUCT(self) -> str: ...  # noqa: N802

    @property
    def UNWATCHED_POLL(self) -> timedelta:  # noqa: N802
        """How often a resource is read whose changes nobody announces."""
        ...

    @property
    def WEBHOOK(self) -> str:  # noqa: N802
        """The path at our door where its announcements arrive."""
        ...

    async def watch(
        self, client: httpx.AsyncClient, access: Access, resource: str, channel: Channel, now: datetime
    ) -> Watching:
        """Asks for announcements. The row that the channel names is committed before, since they may come at once."""
        ...

    async def stop(
        self, client: httpx.AsyncClient, access: Access, channel: Channel, external_id: str
    ) -> RetryAfter | Reauthorize | None:
        """Ends them. None: they are ended, or were already."""
        ...


READERS: Final[tuple[Reader, ...]] = (google_calendar, todoist)
WATCHERS: Final[tuple[Watcher, ...]] = (google_calendar,)


def reader(provider: Provider, resource: str) -> Reader:
    """Who reads a resource. Raises LookupError for one that this version does not know."""
    product = resource.partition("/")[0]
    for one in READERS:
        if (provider, product) == (one.PROVIDER, one.PRODUCT):
            return one
    raise LookupError(f"nothing reads {provider} {resource}")


def watcher(provider: Provider, resource: str) -> Watcher | None:
    """Who asks for announcements of a resource; None where the provider announces its changes unasked."""
    product = resource.partition("/")[0]
    return next((one for one in WATCHERS if (provider, product) == (one.PROVIDER, one.PRODUCT)), None)


def roots(provider: Provider) -> tuple[str, ...]:
    """The resources that a new connection begins with."""
    return tuple(root for one in READERS if provider == one.PROVIDER for root in one.ROOTS)


def watched(provider: Provider) -> tuple[str, ...]:
    """The products of a provider whose resources need a subscription each."""
    return tuple(one.PRODUCT for one in WATCHERS if provider == one.PROVIDER)
