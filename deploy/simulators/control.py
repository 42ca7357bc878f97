"""A simulator's own paths, `/simulator/…`: make accounts and changes, switch faults, read the books."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any, Generic, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deploy.simulators.simulator import Simulated


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewAccount(Body):
    account: Annotated[str, Field(pattern=r"^[0-9A-Za-z]{1,32}$")]
    token: Annotated[str, Field(min_length=1, max_length=200)]
    full_name: str = "Ann Example"


class MixOrder(Body):
    changes: Annotated[int, Field(ge=1, le=100_000)]
    seed: int | None = None


class StormOrder(Body):
    pushes: Annotated[int, Field(ge=1, le=1_000_000)]
    edits: bool = False
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 64


class Patience(Body):
    timeout: Annotated[float, Field(gt=0, le=600)] = 30.0


B = TypeVar("B", bound=BaseModel)
S = TypeVar("S", bound=Simulated[Any, Any, Any])
Said = tuple[int, Any]
"""Status and JSON."""
Method = Callable[[Request], Awaitable[Said]]


class Control(Generic[S]):
    """One method per path; each takes a request and returns status and JSON."""

    def __init__(self, simulator: S) -> None:
        self._simulator = simulator

    def routes(self) -> list[Route]:
        """What every simulator has."""
        return [
            route("GET", "/simulator/accounts", self.list_accounts),
            route("POST", "/simulator/accounts", self.create_account),
            route("POST", "/simulator/mix/{account}", self.mix),
            route("POST", "/simulator/storm/{account}", self.begin_storm),
            route("GET", "/simulator/storms/{storm}", self.storm),
            route("GET", "/simulator/faults", self.faults),
            route("PUT", "/simulator/faults", self.set_faults),
            route("DELETE", "/simulator/faults", self.clear_faults),
            route("GET", "/simulator/books/{account}", self.books),
            route("POST", "/simulator/quiesce", self.quiesce),
            route("GET", "/healthz", self.health),
            route("GET", "/readyz", self.health),
        ]

    async def list_accounts(self, request: Request) -> Said:
        return 200, self._simulator.listed()

    async def create_account(self, request: Request) -> Said:
        new = await body(request, NewAccount)
        self._simulator.create(new.account, new.token, new.full_name)
        return 201, {"account": new.account}

    async def mix(self, request: Request) -> Said:
        account, order = self._account(request), await body(request, MixOrder)
        await self._simulator.mix(account, order.changes, order.seed)
        return 200, self._simulator.read(account, ())

    async def begin_storm(self, request: Request) -> Said:
        account, order = self._account(request), await body(request, StormOrder)
        id_, storm = self._simulator.begin_storm(
            account, order.pushes, edits=order.edits, concurrency=order.concurrency
        )
        return 202, {"storm": id_, **asdict(storm)}

    async def storm(self, request: Request) -> Said:
        id_ = request.path_params["storm"]
        return 200, {"storm": id_, **asdict(self._simulator.storms[id_])}

    async def faults(self, request: Request) -> Said:
        return 200, self._simulator.faults.get().model_dump(mode="json")

    async def set_faults(self, request: Request) -> Said:
        self._simulator.faults.set(await body(request, type(self._simulator.faults.none)))
        return await self.faults(request)

    async def clear_faults(self, request: Request) -> Said:
        self._simulator.faults.set(self._simulator.faults.none)
        return await self.faults(request)

    async def books(self, request: Request) -> Said:
        """`?parts=state,pushes` reads only these."""
        parts = request.query_params.get("parts")
        return 200, self._simulator.read(self._account(request), None if parts is None else tuple(parts.split(",")))

    async def quiesce(self, request: Request) -> Said:
        patience = await body(request, Patience)
        try:
            await self._simulator.quiesce(patience.timeout)
        except TimeoutError:
            return 504, {"error": f"{self._simulator.pending} pushes are pending after {patience.timeout:g} s"}
        return 200, {"pending": 0}

    async def health(self, request: Request) -> Said:
        return 200, {"status": "ok"}

    def _account(self, request: Request) -> str:
        """Raises KeyError where there is none of that name."""
        account = str(request.path_params["account"])
        try:
            self._simulator.holding(account)
        except KeyError:
            raise KeyError(f"account {account}") from None
        return account


def route(verb: str, path: str, method: Method) -> Route:
    """Answers 404 for a KeyError and 400 for a ValueError, with what they say."""

    async def endpoint(request: Request) -> Response:
        try:
            status, said = await method(request)
        except KeyError as error:
            status, said = 404, {"error": f"there is no {error.args[0]} here"}
        except ValueError as error:
            status, said = 400, {"error": _line(error)}
        return Response(b"" if said is None else orjson.dumps(said), status, media_type="application/json")

    return Route(path, endpoint, methods=[verb])


async def body(request: Request, model: type[B]) -> B:
    return model.model_validate_json(await request.body() or b"{}")


def _line(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'body'}: {first['msg']}"
