"""A resource that is listed: what it holds, in the order in which that changed, and the tokens to read on from. Pure.

developers.google.com/workspace/calendar/api/guides/sync
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson
from pydantic import BaseModel

from deploy.simulators.google.refused import Refused, invalid, sync_token_expired

Entity = dict[str, Any]
"""One JSON object of the API. Never mutated once it is held: a change replaces it."""

TOMBSTONES: Final = 2000
"""Deleted entries that are remembered; sync tokens older than what is forgotten have expired."""

LIVES: Final = 100
"""Former lives whose tokens are still good."""


@dataclass(frozen=True, slots=True)
class Entry:
    """`born` and `seq`: the number of its first and of its latest change. `gone`: only tombstone."""

    id: str
    born: int
    seq: int
    value: Entity
    gone: bool = False


class SavedLog(BaseModel):
    """A resource as it outlives its process. Tokens of it are good up to `seq`, and of lives before it up to theirs."""

    name: str
    seq: int
    life: str
    lives: dict[str, int]
    floor: int
    floors: dict[str, int]
    entries: list[tuple[str, int, int, Entity, bool]]


class Log:
    """What one resource holds."""

    def __init__(self, name: str, life: str) -> None:
        """`life` is different in each process: tokens of what a crash made forgotten are not good in the next."""
        self.name = name
        self.seq = 0
        self.entries: dict[str, Entry] = {}
        self.page_epoch = 0
        self.page_status = 410
        self._life = life
        self._lives: dict[str, int] = {}
        self._floor = 0
        self._floors: dict[str, int] = {}
        self._latest: dict[str, int] = {}

    @classmethod
    def restored(cls, saved: SavedLog, life: str) -> "Log":
        log = cls(saved.name, life)
        log.seq, log._floor, log._floors = saved.seq, saved.floor, saved.floors
        log._lives = dict(list({**saved.lives, saved.life: saved.seq}.items())[-LIVES:])
        log.entries = {id_: Entry(id_, born, seq, value, gone) for id_, born, seq, value, gone in saved.entries}
        log._latest = {entry.id: entry.seq for entry in sorted(log.entries.values(), key=lambda entry: entry.seq)}
        return log

    def saved(self) -> SavedLog:
        return SavedLog(
            name=self.name,
            seq=self.seq,
            life=self._life,
            lives=self._lives,
            floor=self._floor,
            floors=self._floors,
            entries=[(one.id, one.born, one.seq, one.value, one.gone) for one in self.entries.values()],
        )

    def put(self, id_: str, value: Entity, *, gone: bool = False) -> Entry:
        """Make `value` the present state of `id_`, and its latest change the latest of all."""
        self.seq += 1
        known = self.entries.get(id_)
        entry = replace(known, seq=self.seq, value=value, gone=gone) if known else Entry(id_, self.seq, self.seq, value)
        self.entries[id_] = entry
        self._latest.pop(id_, None)
        self._latest[id_] = self.seq
        if gone:
            self._forget()
        return entry

    def living(self) -> Iterator[Entry]:
        return (entry for entry in self.entries.values() if not entry.gone)

    def expire(self, account: str | None = None) -> None:
        """Every sync token handed out so far, to everybody or to one account, is answered with 410 from now on."""
        self.seq += 1
        if account is None:
            self._floor = self.seq
        else:
            self._floors[account] = self.seq

    def expire_pages(self, status: int) -> None:
        """Every page token handed out so far is answered with `status` from now on."""
        self.page_epoch += 1
        self.page_status = status

    def sync_token(self, account: str, seq: int) -> str:
        return self._sealed(account, ["s", self._life, seq])

    def since(self, account: str, token: str) -> int:
        """The number up to which the holder of a sync token has read. Raises `Refused`: 410 where it has expired."""
        kind, life, seq = self._opened(account, token, "syncToken", 3)
        good = self.seq if life == self._life else self._lives.get(life, -1)
        if kind != "s":
            raise invalid("syncToken", "Invalid sync token value.")
        if seq > good or seq < max(self._floor, self._floors.get(account, 0)):
            raise sync_token_expired()
        return int(seq)

    def page_token(self, account: str, question: str, place: "Place") -> str:
        """Where the next page of the answer to `question` begins."""
        told = ["p", self._life, self.page_epoch, question, place.since, place.until, place.number, place.index]
        return self._sealed(account, told)

    def place(self, account: str, question: str, token: str) -> "Place":
        """Raises `Refused` for another question's token, and for one that has expired."""
        kind, life, epoch, asked, *numbers = self._opened(account, token, "pageToken", 8)
        if kind != "p" or asked != question:
            raise invalid("pageToken")
        if epoch != self.page_epoch or life != self._life:
            if self.page_status == 410:
                raise Refused(410, "fullSyncRequired", "Page token is no longer valid.", "calendar", "pageToken")
            raise invalid("pageToken")
        return Place(*numbers)

    def page(
        self, place: "Place", size: int, shown: Callable[[Entry], list[Entity]]
    ) -> tuple[list[Entity], "Place | None"]:
        """So many of what `shown` makes of the entries from `place` on, and the place after; None where it is the end.

        What changes while somebody turns pages has a higher number than `until`, hence comes with the next sync token.
        """
        items: list[Entity] = []
        last = place
        for number, entry in self._after(place):
            for index, item in enumerate(shown(entry)):
                if (number, index) <= (place.number, place.index):
                    continue
                if len(items) == size:
                    return items, last
                items.append(item)
                last = place.at(number, index)
        return items, None

    def _after(self, place: "Place") -> Iterator[tuple[int, Entry]]:
        if place.since is None:
            for entry in self.entries.values():
                if place.number <= entry.born <= place.until:
                    yield entry.born, entry
            return
        first = max(place.since + 1, place.number)
        changed: list[tuple[int, Entry]] = []
        for id_, seq in reversed(self._latest.items()):
            if seq < first:
                break
            if seq <= place.until:
                changed.append((seq, self.entries[id_]))
        yield from reversed(changed)

    def _forget(self) -> None:
        """Tombstones disappear eventually (Event.status); here, beyond so many, the older half."""
        tombs = [entry for entry in self.entries.values() if entry.gone]
        if len(tombs) <= TOMBSTONES:
            return
        tombs.sort(key=lambda entry: entry.seq)
        for entry in tombs[: TOMBSTONES // 2]:
            del self.entries[entry.id], self._latest[entry.id]
            self._floor = max(self._floor, entry.seq)

    def _sealed(self, account: str, told: list[Any]) -> str:
        plain = orjson.dumps(told)
        return urlsafe_b64encode(plain + self._seal(account, plain)).decode()

    def _opened(self, account: str, token: str, parameter: str, length: int) -> list[Any]:
        """Raises `Refused` for any text that was not sealed for this account and resource."""
        try:
            raw = urlsafe_b64decode(token.encode("ascii", "replace"))
        except ValueError:
            raise invalid(parameter) from None
        if not hmac.compare_digest(raw[-12:], self._seal(account, raw[:-12])):
            raise invalid(parameter)
        told = orjson.loads(raw[:-12])
        if len(told) != length:
            raise invalid(parameter)
        return list(told)

    def _seal(self, account: str, plain: bytes) -> bytes:
        return hmac.digest(f"{self.name}\0{account}".encode(), plain, "sha256")[:12]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a list goes on. `since`: what was read before, None in a full read. `until`: the last number of this read."""

    since: int | None
    until: int
    number: int = 0
    index: int = -1

    def at(self, number: int, index: int) -> "Place":
        return replace(self, number=number, index=index)
