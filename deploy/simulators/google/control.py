"""What only the Google simulator is told: changes to make, tokens to expire, pages to cut, access to change."""

from collections.abc import Callable
from typing import Any, Final, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.routing import Route

from deploy.simulators.control import Body, Control, Said, body, route
from deploy.simulators.google.calendar import Role
from deploy.simulators.google.refused import Refused
from deploy.simulators.google.simulator import Simulator

Verb = Literal["insert", "patch", "update", "delete", "move", "add_calendar", "patch_entry", "delete_calendar"]


class Mutation(Body):
    """One change. `fields`: the event, or what is set for a calendar."""

    do: Verb
    calendar: str = "primary"
    event: str = ""
    destination: str = ""
    fields: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies it


class Expiry(Body):
    """What expires. `resource`, of tokens: `calendar/list` or `calendar/events/<id>`; None is all."""

    tokens: Literal["sync", "page", "channel"] = "sync"
    resource: str | None = None
    status: Literal[400, 410] = 410


class Pages(Body):
    size: int | None = Field(None, ge=1)


class Access(Body):
    """What changes about a calendar as an account sees it."""

    calendar: str
    role: Role | Literal["none"] | None = None
    watchable: bool | None = None


def routes(simulator: Simulator) -> list[Route]:
    control = GoogleControl(simulator)
    return [
        *control.routes(),
        route("POST", "/simulator/mutate/{account}", control.mutate),
        route("POST", "/simulator/expire/{account}", control.expire),
        route("PUT", "/simulator/pages", control.pages),
        route("PUT", "/simulator/access/{account}", control.access),
    ]


class GoogleControl(Control[Simulator]):
    async def mutate(self, request: Request) -> Said:
        """What the change leaves, or its refusal."""
        account, mutation = self._account(request), await body(request, Mutation)
        await self._simulator.room()
        try:
            return 200, {"entity": DOES[mutation.do](self._simulator, account, mutation)}
        except Refused as refusal:
            return 200, {"error": refusal.body()["error"]}

    async def expire(self, request: Request) -> Said:
        account, expiry = self._account(request), await body(request, Expiry)
        if expiry.tokens == "sync":
            self._simulator.expire_sync_tokens(account, expiry.resource)
        elif expiry.tokens == "channel":
            self._simulator.expire_channels(account)
        else:
            self._simulator.expire_page_tokens(account, expiry.resource, expiry.status)
        return 204, None

    async def pages(self, request: Request) -> Said:
        self._simulator.page_size = (await body(request, Pages)).size
        return 204, None

    async def access(self, request: Request) -> Said:
        account, access = self._account(request), await body(request, Access)
        if access.calendar not in self._simulator.world.calendars:
            raise KeyError(access.calendar)
        if access.role is not None:
            self._simulator.set_role(account, access.calendar, None if access.role == "none" else access.role)
        if access.watchable is not None:
            self._simulator.set_watchable(access.calendar, access.watchable)
        return 204, None


DOES: Final[dict[Verb, Callable[[Simulator, str, Mutation], Any]]] = {
    "insert": lambda to, account, it: to.insert(account, it.calendar, it.fields),
    "patch": lambda to, account, it: to.patch(account, it.calendar, it.event, it.fields),
    "update": lambda to, account, it: to.update(account, it.calendar, it.event, it.fields),
    "delete": lambda to, account, it: to.delete(account, it.calendar, it.event),
    "move": lambda to, account, it: to.move(account, it.calendar, it.event, it.destination),
    "add_calendar": lambda to, account, it: {"id": to.add_calendar(account, **{"summary": "", **it.fields})},
    "patch_entry": lambda to, account, it: to.patch_entry(account, it.calendar, **it.fields),
    "delete_calendar": lambda to, account, it: to.delete_calendar(account, it.calendar),
}
