"""A reader who knows nothing but Google's documents: sync tokens, pages, cancelled means deleted, 410 means anew."""

from dataclasses import dataclass, field
from typing import Any

import httpx

Event = dict[str, Any]


@dataclass
class Reading:
    """One resource as its reader holds it."""

    token: str | None = None
    held: dict[str, Event] = field(default_factory=dict)


@dataclass
class Reader:
    """Reads an account through `api` and holds what it was told."""

    api: httpx.AsyncClient
    list: Reading = field(default_factory=Reading)
    calendars: dict[str, Reading] = field(default_factory=dict)

    async def follow(self) -> None:
        """Read everything that is new."""
        await self._read("/calendar/v3/users/me/calendarList", self.list, gone=lambda entry: bool(entry.get("deleted")))
        self.calendars = {id_: self.calendars.get(id_, Reading()) for id_ in self.list.held}
        for id_, reading in self.calendars.items():
            await self._read(f"/calendar/v3/calendars/{id_}/events", reading, gone=_deleted)

    @property
    def state(self) -> dict[str, Any]:
        """What it holds, in the form of the simulator's own books."""
        return {
            "calendars": _sorted(self.list.held.values()),
            "events": {id_: _sorted(reading.held.values()) for id_, reading in self.calendars.items()},
        }

    async def _read(self, path: str, reading: Reading, gone: Any) -> None:
        query = {} if reading.token is None else {"syncToken": reading.token}
        if reading.token is None:
            reading.held = {}
        while True:
            answer = await self.api.get(path, params=query)
            if answer.status_code == 410:
                reading.token = None
                return await self._read(path, reading, gone)
            page = answer.raise_for_status().json()
            for item in page["items"]:
                reading.held[item["id"]] = item
                if gone(item):
                    del reading.held[item["id"]]
            assert ("nextPageToken" in page) != ("nextSyncToken" in page)
            if "nextSyncToken" in page:
                reading.token = page["nextSyncToken"]
                return None
            query = query | {"pageToken": page["nextPageToken"]}


def _deleted(event: Event) -> bool:
    """A removed occurrence of what still recurs is not: it names its series."""
    return event["status"] == "cancelled" and "recurringEventId" not in event


def state_of(books: dict[str, Any]) -> dict[str, Any]:
    state = books["state"]
    return {
        "calendars": _sorted(state["calendars"]),
        "events": {id_: _sorted(events) for id_, events in state["events"].items()},
    }


def _sorted(items: Any) -> list[Event]:
    return sorted(items, key=lambda item: str(item["id"]))
