"""Google Calendar: developers.google.com/workspace/calendar/api (providers.md §§1.1, 1.2)."""

from datetime import datetime, timedelta
from typing import Final

import httpx

from processors.derive.ids import Ids
from processors.providers.access import Access, Channel
from schemas.outcome import Fetching, Reauthorize, RetryAfter, Watching
from schemas.plan import Mapping, Page
from schemas.providers import Kind, Provider

PROVIDER: Final[Provider] = "google"
PRODUCT: Final = "calendar"
ROOTS: Final = ("calendar/list",)
EVENTS: Final = "calendar/events/"
SAFETY_POLL: Final = timedelta(hours=6)
UNWATCHED_POLL: Final = timedelta(minutes=15)
WEBHOOK: Final = "/webhooks/google/channel"


async def fetch(
    client: httpx.AsyncClient, access: Access, resource: str, position: str | None, ids: Ids, now: datetime
) -> Page | Fetching:
    raise NotImplementedError


def holds(kind: Kind, external_id: str) -> str | None:
    raise NotImplementedError


def shown(mapping: Mapping, now: datetime) -> bool:
    raise NotImplementedError


async def watch(client: httpx.AsyncClient, access: Access, resource: str, channel: Channel, now: datetime) -> Watching:
    raise NotImplementedError


async def stop(
    client: httpx.AsyncClient, access: Access, channel: Channel, external_id: str
) -> RetryAfter | Reauthorize | None:
    raise NotImplementedError
