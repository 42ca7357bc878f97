"""What only the Todoist simulator is told: commands to run, tokens to expire, where to push."""

from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from deploy.simulators.control import Body, Control, Said, body, route
from deploy.simulators.todoist.account import Refused
from deploy.simulators.todoist.simulator import Simulator


class Command(Body):
    type: str
    args: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies it


class Mutation(Body):
    commands: list[Command]


class Webhook(Body):
    url: str | None


def routes(simulator: Simulator) -> list[Route]:
    control = TodoistControl(simulator)
    return [
        *control.routes(),
        route("POST", "/simulator/mutate/{account}", control.mutate),
        route("POST", "/simulator/expire/{account}", control.expire),
        route("PUT", "/simulator/webhook", control.webhook),
    ]


class TodoistControl(Control[Simulator]):
    async def mutate(self, request: Request) -> Said:
        """Each command's entity, or its refusal; one that is refused does not stop the next."""
        user_id, mutation = self._account(request), await body(request, Mutation)
        results: list[dict[str, Any]] = []
        for command in mutation.commands:
            await self._simulator.room()
            try:
                results.append({"entity": self._simulator.run(user_id, command.type, **command.args)})
            except Refused as refusal:
                results.append({"error": refusal.body()})
        return 200, {"results": results}

    async def expire(self, request: Request) -> Said:
        self._simulator.expire_sync_tokens(self._account(request))
        return 204, None

    async def webhook(self, request: Request) -> Said:
        self._simulator.webhook_url = (await body(request, Webhook)).url
        return 204, None
