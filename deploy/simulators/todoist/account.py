"""One simulated Todoist account: everything it holds and the order in which that changed. Pure: ids and time are given.

Field names are those of Todoist's Sync API v1 (https://developer.todoist.com/api/v1/).
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from pydantic import BaseModel

from deploy.simulators.refusal import Refusal

Kind = Literal["item", "project", "section", "label"]
Entity = dict[str, Any]
"""One JSON object of the API. Never mutated once recorded: a change replaces it."""

KINDS: Final[tuple[Kind, ...]] = ("item", "project", "section", "label")
PLURAL: Final[dict[Kind, str]] = {"item": "items", "project": "projects", "section": "sections", "label": "labels"}

LIVES: Final = 100
"""Former lives whose sync tokens are still good."""


@dataclass
class Refused(Refusal):
    """The API's refusal, in the fields of its error object. `extra` becomes `error_extra`."""

    tag: str
    code: int
    http_code: int
    message: str
    extra: Entity

    def body(self) -> Entity:
        return {
            "error_tag": self.tag,
            "error_code": self.code,
            "error": self.message,
            "http_code": self.http_code,
            "error_extra": self.extra,
        }


def invalid(argument: str, explanation: str = "") -> Refused:
    extra = {"argument": argument} | ({"explanation": explanation} if explanation else {})
    return Refused("INVALID_ARGUMENT_VALUE", 20, 400, "Invalid argument value", extra)


def missing(argument: str) -> Refused:
    return Refused("ARGUMENT_MISSING", 19, 400, "Required argument is missing", {"argument": argument})


def not_found(kind: Kind) -> Refused:
    codes: dict[Kind, int] = {"project": 21, "item": 22, "section": 414, "label": 36}
    return Refused(f"{kind.upper()}_NOT_FOUND", codes[kind], 404, f"{kind.capitalize()} not found", {})


@dataclass(frozen=True, slots=True)
class Change:
    """One recorded change. `event` is the webhook's name, or None when only `/sync` tells it (see `Account.record`)."""

    seq: int
    at: str
    kind: Kind
    entity: Entity
    event: str | None
    extra: Entity | None


class Saved(BaseModel):
    """An account as it outlives its process. Sync tokens of it are good up to `seq`, and of lives before it up to theirs."""

    user_id: str
    full_name: str
    inbox_id: str
    seq: int
    last: datetime
    life: str
    lives: dict[str, int]
    entities: dict[Kind, dict[str, Entity]]
    touched: list[tuple[Kind, str, int]]
    uuids: dict[str, Entity | Literal["ok"]]


class Account:
    """The state of one account. Every way to change it ends in `record`; `take` hands out what was recorded since."""

    def __init__(self, user_id: str, *, ids: Callable[[], str], generation: bytes, full_name: str) -> None:
        """`ids` gives a fresh opaque id at each call; `generation` makes sync tokens of another life invalid.

        `projects.open_account` makes one with its inbox.
        """
        self.user_id = user_id
        self.full_name = full_name
        self.ids = ids
        self.entities: dict[Kind, dict[str, Entity]] = {kind: {} for kind in KINDS}
        self.uuids: dict[str, Entity | Literal["ok"]] = {}
        self.seq = 0
        self._generation = generation
        self._lives: dict[bytes, int] = {}
        self._last = datetime.min.replace(tzinfo=UTC)
        self._touched: dict[tuple[Kind, str], int] = {}
        self._fresh: list[Change] = []
        self.inbox_id = ""

    @classmethod
    def restored(cls, saved: Saved, *, ids: Callable[[], str], generation: bytes) -> "Account":
        """The account goes on as `saved`. What came after, if its process crashed, is forgotten and its tokens with it."""
        account = cls(saved.user_id, ids=ids, generation=generation, full_name=saved.full_name)
        account.inbox_id, account.seq, account._last = saved.inbox_id, saved.seq, saved.last
        account.entities |= saved.entities
        account.uuids |= saved.uuids
        account._touched |= {(kind, id_): seq for kind, id_, seq in saved.touched}
        lives = {**saved.lives, saved.life: saved.seq}
        account._lives = {bytes.fromhex(life): seq for life, seq in list(lives.items())[-LIVES:]}
        return account

    def saved(self) -> Saved:
        return Saved(
            user_id=self.user_id,
            full_name=self.full_name,
            inbox_id=self.inbox_id,
            seq=self.seq,
            last=self._last,
            life=self._generation.hex(),
            lives={life.hex(): seq for life, seq in self._lives.items()},
            entities=self.entities,
            touched=[(kind, id_, seq) for (kind, id_), seq in self._touched.items()],
            uuids=self.uuids,
        )

    @property
    def state(self) -> tuple[int, bytes]:
        """Another one means that there is something new to save."""
        return self.seq, self._generation

    def tick(self, now: datetime) -> str:
        """The stamp of the next change: `now`, but always later than the stamp before it."""
        self._last = max(now.astimezone(UTC), self._last + timedelta(microseconds=1))
        return self._last.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def get(self, kind: Kind, id_: object) -> Entity:
        """The living entity of that id. Raises `Refused` when there is none, or only its tombstone."""
        entity = self.entities[kind].get(id_) if isinstance(id_, str) else None
        if entity is None or entity["is_deleted"]:
            raise not_found(kind)
        return entity

    def living(self, kind: Kind) -> list[Entity]:
        return [entity for entity in self.entities[kind].values() if not entity["is_deleted"]]

    def active(self, kind: Kind) -> list[Entity]:
        """What a full sync and the REST lists show: neither deleted, nor completed, nor archived."""
        return [e for e in self.living(kind) if not e.get("checked") and not e.get("is_archived")]

    def record(
        self, kind: Kind, entity: Entity, at: str, event: str | None = None, extra: Entity | None = None
    ) -> Entity:
        """Make `entity` the present state and remember the change.

        Without `event` no webhook tells it: what follows from another change (the tasks of a deleted project, the
        subtasks of a completed task) is seen by `/sync` only. The provider's documents promise no more than that.
        """
        self.seq += 1
        entity = entity | {"updated_at": at}
        self.entities[kind][entity["id"]] = entity
        self._touched.pop((kind, entity["id"]), None)
        self._touched[kind, entity["id"]] = self.seq
        self._fresh.append(Change(self.seq, at, kind, entity, event, extra))
        return entity

    def take(self) -> list[Change]:
        """The changes recorded since the last call."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def since(self, position: int) -> Iterator[tuple[Kind, Entity]]:
        """What changed after `position`, latest first, each entity once and in its present state, tombstones included."""
        for (kind, id_), seq in reversed(self._touched.items()):
            if seq <= position:
                return
            yield kind, self.entities[kind][id_]

    def token(self) -> str:
        """An opaque sync token for the present."""
        plain = self._generation + self.seq.to_bytes(8)
        return urlsafe_b64encode(plain + self._seal(plain)).decode()

    def position(self, token: str) -> int:
        """The sequence number a token stands for. Raises `Refused` for any text that `token` never returned, or in
        another life that is forgotten."""
        try:
            raw = urlsafe_b64decode(token.encode("ascii", "replace"))
        except NotBase64:
            raise invalid("sync_token") from None
        generation, number, seal = raw[:-20], raw[-20:-12], raw[-12:]
        last = self.seq if generation == self._generation else self._lives.get(generation, -1)
        if not hmac.compare_digest(seal, self._seal(generation + number)) or int.from_bytes(number) > last:
            raise invalid("sync_token")
        return int.from_bytes(number)

    def renew(self, generation: bytes) -> None:
        """Make every sync token handed out so far invalid."""
        self._generation = generation
        self._lives.clear()

    def _seal(self, plain: bytes) -> bytes:
        return hmac.digest(plain[:-8], self.user_id.encode() + plain, "sha256")[:12]
