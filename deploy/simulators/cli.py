"""`lifeos simulate`: run a provider simulator, drive it, or send a captured request."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deploy.simulators.failure import Failure, Wrong, loaded
from deploy.simulators.google.verbs import VERBS as GOOGLE_VERBS
from deploy.simulators.todoist.verbs import VERBS as TODOIST_VERBS

if TYPE_CHECKING:
    from uuid import UUID

    from deploy.simulators.captured import Captured
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
    "--provider",
    type=click.Choice(["google", "todoist"]),
    help="Whose. Default: google for a request with an X-Goog- header, else todoist.",
)
@click.option("--channel", type=click.UUID, metavar="ID", help="Google: on which channel (`lifeos watches list`).")
@click.pass_context
def simulate(
    context: click.Context, captured: Path | None, url: str | None, provider: str | None, channel: "UUID | None"
) -> None:
    """Run and drive the provider simulators."""
    if captured is not None:
        _send(captured, url, provider, channel)
    elif context.invoked_subcommand is None:
        click.echo(context.get_help())


@simulate.group()
def todoist() -> None:
    """The Todoist simulator: Todoist's own paths, webhooks, faults and books."""


@todoist.command("serve")
@click.option("--listen", metavar="HOST:PORT", help="Default: LIFEOS_TODOIST_SIMULATOR_LISTEN.")
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
def serve_todoist(
    listen: str | None, webhook_url: str | None, redelivery_delay: float, demo: bool, state: Path | None
) -> None:
    """Run the simulator until SIGTERM or Ctrl-C."""
    import os

    from deploy.simulators.settings import todoist_simulator_settings
    from deploy.simulators.todoist import demo as life
    from deploy.simulators.todoist.server import running
    from deploy.simulators.todoist.simulator import Simulator

    given = dict(os.environ) | ({"LIFEOS_TODOIST_SIMULATOR_LISTEN": listen} if listen else {})
    settings = loaded(lambda: todoist_simulator_settings(given))
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


@simulate.group()
def google() -> None:
    """The Google simulator: Calendar's own paths, channels, faults and books."""


@google.command("serve")
@click.option("--listen", metavar="HOST:PORT", help="Default: LIFEOS_GOOGLE_SIMULATOR_LISTEN.")
@click.option(
    "--retry-delay",
    type=click.FloatRange(min=0),
    default=0.5,
    show_default=True,
    help="Seconds before a refused push is sent again, doubling after.",
)
@click.option(
    "--demo", is_flag=True, help="Have account 113774264463038321964 (token `demo-google`), which keeps changing."
)
@click.option(
    "--state", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Keep the accounts in this file."
)
def serve_google(listen: str | None, retry_delay: float, demo: bool, state: Path | None) -> None:
    """Run the simulator until SIGTERM or Ctrl-C."""
    import os

    from deploy.simulators.google import demo as life
    from deploy.simulators.google.server import running
    from deploy.simulators.google.simulator import Simulator
    from deploy.simulators.settings import google_simulator_settings

    given = dict(os.environ) | ({"LIFEOS_GOOGLE_SIMULATOR_LISTEN": listen} if listen else {})
    address = loaded(lambda: google_simulator_settings(given)).listen
    simulator = Simulator(retry_delay=retry_delay)

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


for verb in TODOIST_VERBS:
    todoist.add_command(verb)
for verb in GOOGLE_VERBS:
    google.add_command(verb)


def _send(path: Path, url: str | None, provider: str | None, channel: "UUID | None") -> None:
    import httpx

    from deploy.outside import why
    from deploy.simulators import captured

    try:
        request = captured.read(path)
        by_google = any(name.lower().startswith("x-goog-") for name in request.headers)
        if provider == "google" or (provider is None and by_google):
            sent, known = _as_google(request, channel)
            left_out = [name for name in captured.FOREIGN if name in request.headers and name not in sent.headers]
            request = sent
        else:
            request, known = _as_todoist(request)
            left_out = []
    except (OSError, ValueError) as error:
        raise Wrong(f"{path} is no captured request: {error}") from None
    target = url or known
    if target is None:
        raise Wrong("LIFEOS_PUBLIC_URL is not set: set it, or give --to")
    try:
        answer = httpx.post(target, content=request.body, headers=request.headers, timeout=15)
    except httpx.HTTPError as error:
        raise Failure(f"nothing answers at {target} ({why(error)}): start it with `lifeos up`, or give --to") from None
    click.echo(f"{answer.status_code} {answer.reason_phrase} from {target} in {answer.elapsed.total_seconds():.3f} s")
    if left_out:
        click.echo(f"sent without {', '.join(left_out)}, which are those of the channel that it was captured on")
    if request.body and not captured.is_json(request.body):
        beginning = request.body[:40].decode("utf-8", "replace")
        click.echo(f"what was sent is not JSON: {len(request.body)} bytes that begin {beginning!r}")
    if answer.status_code != 200:
        raise SystemExit(1)


def _as_todoist(request: "Captured") -> "tuple[Captured, str | None]":
    """The request freshly signed, and where it goes unless told otherwise."""
    from deploy.local.environment import environment
    from deploy.simulators import captured
    from deploy.simulators.settings import todoist_sending

    settings = loaded(lambda: todoist_sending(environment()))
    return captured.signed_by_todoist(request, settings.todoist_client_secret), settings.webhook_url


def _as_google(request: "Captured", channel: "UUID | None") -> "tuple[Captured, str | None]":
    """The request with a fresh token, and where it goes unless told otherwise."""
    from deploy.local.environment import environment
    from deploy.simulators import captured
    from deploy.simulators.settings import google_sending

    settings = loaded(lambda: google_sending(environment()))
    return captured.derived_for_google(request, settings.channel_keys, channel), settings.webhook_url
