"""`lifeos simulate`: run a provider simulator, drive it, or send a captured request."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deploy.simulators.failure import Failure, Wrong, loaded
from deploy.simulators.todoist.verbs import VERBS

if TYPE_CHECKING:
    from deploy.simulators.simulator import Simulated
    from schemas.settings import Listen


@click.group(invoke_without_command=True)
@click.option(
    "--send",
    "captured",
    type=click.Path(exists=True, path_type=Path),
    metavar="FILE",
    help="Send this captured request (a folder with headers.json and body, or a file that is a body), freshly signed.",
)
@click.option(
    "--to", "url", metavar="URL", help="Where to. Default: LIFEOS_PUBLIC_URL and the provider's webhook path."
)
@click.option(
    "--provider", type=click.Choice(["todoist"]), default="todoist", show_default=True, help="Whose signature."
)
@click.pass_context
def simulate(context: click.Context, captured: Path | None, url: str | None, provider: str) -> None:
    """Run and drive the provider simulators."""
    if captured is not None:
        _send(captured, url)
    elif context.invoked_subcommand is None:
        click.echo(context.get_help())


@simulate.group()
def todoist() -> None:
    """The Todoist simulator: Todoist's own paths, webhooks, faults and books."""


@todoist.command()
@click.option("--listen", metavar="HOST:PORT", help="Default: LIFEOS_SIMULATOR_LISTEN.")
@click.option("--webhook-url", metavar="URL", help="Where pushes go. Default: LIFEOS_PUBLIC_URL/webhooks/todoist.")
@click.option(
    "--redelivery-delay",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="Seconds; the real provider takes 15 minutes.",
)
@click.option("--demo", is_flag=True, help="Have account 2671355 (token `demo`), whose tasks keep changing.")
@click.option(
    "--state", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Keep the accounts in this file."
)
def serve(listen: str | None, webhook_url: str | None, redelivery_delay: float, demo: bool, state: Path | None) -> None:
    """Run the simulator until SIGTERM or Ctrl-C."""
    import os

    from deploy.simulators.settings import simulator_settings
    from deploy.simulators.todoist import demo as life
    from deploy.simulators.todoist.server import running
    from deploy.simulators.todoist.simulator import Simulator

    given = dict(os.environ) | ({"LIFEOS_SIMULATOR_LISTEN": listen} if listen else {})
    settings = loaded(lambda: simulator_settings(given))
    target = webhook_url or settings.webhook_url
    if target is None:
        raise Wrong("LIFEOS_PUBLIC_URL is not set: set it, or give --webhook-url")
    try:
        simulator = Simulator(
            webhook_url=target, client_secret=settings.todoist_client_secret, redelivery_delay=redelivery_delay
        )
    except ValueError as error:
        raise Wrong(str(error)) from None
    address = settings.listen

    async def live() -> None:
        life.furnish(simulator)
        await life.live(simulator)

    _serve(running(simulator, address.host, address.port), simulator, address, state, live if demo else None)


def _serve(
    running: "AbstractAsyncContextManager[Simulated[Any, Any, Any]]",
    simulator: "Simulated[Any, Any, Any]",
    address: "Listen",
    state: Path | None,
    demo: Callable[[], Awaitable[None]] | None,
) -> None:
    """Run a simulator with what its state file holds until the process is asked to end."""
    import uvloop

    from deploy.simulators import saving
    from deploy.simulators import serve as process

    try:
        if state is not None:
            saving.load(simulator, state)
    except OSError as error:
        raise Wrong(f"--state: {error}") from None
    except ValueError as error:
        raise Wrong(str(error)) from None
    try:
        uvloop.run(process.serve(running, simulator, state=state, demo=demo))
    except OSError as error:
        if error.filename is not None:
            raise Failure(f"{error.filename} cannot be written: {error.strerror}") from None
        raise Failure(f"cannot listen on {address.host}:{address.port}: {error.strerror}") from None


for verb in VERBS:
    todoist.add_command(verb)


def _send(path: Path, url: str | None) -> None:
    import httpx

    from deploy.local.environment import environment
    from deploy.outside import why
    from deploy.simulators import captured
    from deploy.simulators.settings import simulator_settings

    settings = loaded(lambda: simulator_settings(environment()))
    target = url or settings.webhook_url
    if target is None:
        raise Wrong("LIFEOS_PUBLIC_URL is not set: set it, or give --to")
    try:
        request = captured.signed_by_todoist(captured.read(path), settings.todoist_client_secret)
    except (OSError, ValueError) as error:
        raise Wrong(f"{path} is no captured request: {error}") from None
    try:
        answer = httpx.post(target, content=request.body, headers=request.headers, timeout=15)
    except httpx.HTTPError as error:
        raise Failure(f"nothing answers at {target} ({why(error)}): start it with `lifeos up`, or give --to") from None
    click.echo(f"{answer.status_code} {answer.reason_phrase} from {target} in {answer.elapsed.total_seconds():.3f} s")
    if not captured.is_json(request.body):
        beginning = request.body[:40].decode("utf-8", "replace")
        click.echo(f"what was sent is not JSON: {len(request.body)} bytes that begin {beginning!r}")
    if answer.status_code != 200:
        raise SystemExit(1)
