"""The simulator's own paths, `/simulator/…`: make accounts and changes, switch faults, read the books."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deploy.simulators.todoist.account import Refused
from deploy.simulators.todoist.books import PARTS
from deploy.simulators.todoist.faults import Faults
from deploy.simulators.todoist.simulator import Simulator


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewAccount(_Body):
    account: Annotated[str, Field(pattern=r"^[0-9A-Za-z]{1,32}$")]
    token: Annotated[str, Field(min_length=1, max_length=200)]
    full_name: str = "Ann Example"


class Command(_Body):
    type: str
    args: dict[str, Any] = {}


class Mutation(_Body):
    commands: list[Command]


class MixOrder(_Body):
    changes: Annotated[int, Field(ge=1, le=100_000)]
    seed: int | None = None


class StormOrder(_Body):
    pushes: Annotated[int, Field(ge=1, le=1_000_000)]
    edits: bool = False
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 64


class Patience(_Body):
    timeout: Annotated[float, Field(gt=0, le=600)] = 30.0


class Webhook(_Body):
    url: str | None


B = TypeVar("B", bound=BaseModel)
Endpoint = Callable[[Request], Awaitable[Response]]


def routes(simulator: Simulator) -> list[Route]:
    control = Control(simulator)
    return [
        Route("/simulator/accounts", _plain(control.list_accounts), methods=["GET"]),
        Route("/simulator/accounts", _plain(control.create_account), methods=["POST"]),
        Route("/simulator/mutate/{account}", _plain(control.mutate), methods=["POST"]),
        Route("/simulator/mix/{account}", _plain(control.mix), methods=["POST"]),
        Route("/simulator/storm/{account}", _plain(control.begin_storm), methods=["POST"]),
        Route("/simulator/storms/{storm}", _plain(control.storm), methods=["GET"]),
        Route("/simulator/expire/{account}", _plain(control.expire), methods=["POST"]),
        Route("/simulator/faults", _plain(control.faults), methods=["GET", "PUT", "DELETE"]),
        Route("/simulator/books/{account}", _plain(control.books), methods=["GET"]),
        Route("/simulator/webhook", _plain(control.webhook), methods=["PUT"]),
        Route("/simulator/quiesce", _plain(control.quiesce), methods=["POST"]),
        Route("/healthz", _plain(control.health), methods=["GET"]),
        Route("/readyz", _plain(control.health), methods=["GET"]),
    ]


class Control:
    """One method per path; each takes a request and returns status and JSON."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    async def list_accounts(self, request: Request) -> tuple[int, Any]:
        listed = (holding.account for holding in self._simulator.accounts())
        return 200, [{"account": a.user_id, "full_name": a.full_name, "sequence": a.seq} for a in listed]

    async def create_account(self, request: Request) -> tuple[int, Any]:
        new = await _body(request, NewAccount)
        self._simulator.create(new.account, new.token, new.full_name)
        return 201, {"account": new.account}

    async def mutate(self, request: Request) -> tuple[int, Any]:
        """Each command's entity, or its refusal; one that is refused does not stop the next."""
        user_id, mutation = self._account(request), await _body(request, Mutation)
        results: list[dict[str, Any]] = []
        for command in mutation.commands:
            await self._simulator.room()
            try:
                results.append({"entity": self._simulator.run(user_id, command.type, **command.args)})
            except Refused as refusal:
                results.append({"error": refusal.body()})
        return 200, {"results": results}

    async def mix(self, request: Request) -> tuple[int, Any]:
        user_id, order = self._account(request), await _body(request, MixOrder)
        await self._simulator.mix(user_id, order.changes, order.seed)
        return 200, {"sequence": self._simulator.holding(user_id).account.seq}

    async def begin_storm(self, request: Request) -> tuple[int, Any]:
        user_id, order = self._account(request), await _body(request, StormOrder)
        if self._simulator.webhook_url is None:
            raise ValueError("this simulator has no webhook address to push to")
        id_, storm = self._simulator.begin_storm(
            user_id, order.pushes, edits=order.edits, concurrency=order.concurrency
        )
        return 202, {"storm": id_, **asdict(storm)}

    async def storm(self, request: Request) -> tuple[int, Any]:
        id_ = request.path_params["storm"]
        return 200, {"storm": id_, **asdict(self._simulator.storms[id_])}

    async def expire(self, request: Request) -> tuple[int, Any]:
        self._simulator.expire_sync_tokens(self._account(request))
        return 204, None

    async def faults(self, request: Request) -> tuple[int, Any]:
        if request.method == "PUT":
            self._simulator.faults.set(await _body(request, Faults))
        elif request.method == "DELETE":
            self._simulator.faults.set(Faults())
        return 200, self._simulator.faults.get().model_dump(mode="json")

    async def books(self, request: Request) -> tuple[int, Any]:
        """`?parts=state,pushes` reads only these."""
        holding = self._simulator.holding(self._account(request))
        parts = tuple(request.query_params.get("parts", ",".join(PARTS)).split(","))
        return 200, holding.books.read(holding.account, parts)

    async def webhook(self, request: Request) -> tuple[int, Any]:
        self._simulator.webhook_url = (await _body(request, Webhook)).url
        return 204, None

    async def quiesce(self, request: Request) -> tuple[int, Any]:
        patience = await _body(request, Patience)
        try:
            await self._simulator.quiesce(patience.timeout)
        except TimeoutError:
            return 504, {"error": f"{self._simulator.pending} pushes are pending after {patience.timeout:g} s"}
        return 200, {"pending": 0}

    async def health(self, request: Request) -> tuple[int, Any]:
        return 200, {"status": "ok"}

    def _account(self, request: Request) -> str:
        return self._simulator.holding(request.path_params["account"]).account.user_id


def _plain(method: Callable[[Request], Awaitable[tuple[int, Any]]]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        try:
            status, said = await method(request)
        except KeyError as error:
            status, said = 404, {"error": f"there is no {error.args[0]} here"}
        except ValueError as error:
            status, said = 400, {"error": _line(error)}
        return Response(b"" if said is None else orjson.dumps(said), status, media_type="application/json")

    return endpoint


async def _body(request: Request, model: type[B]) -> B:
    return model.model_validate_json(await request.body() or b"{}")


def _line(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'body'}: {first['msg']}"
