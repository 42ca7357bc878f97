"""The verbs that drive a running simulator of whichever provider."""

from collections.abc import Callable
from time import sleep
from typing import Any

import click

from deploy.simulators.driving import Driven, R, say, show_json
from deploy.simulators.failure import Wrong


def shared_verbs(driven: Driven[R], counted: Callable[[Any], list[str]]) -> tuple[click.Command, ...]:
    """`mix`, `storm`, `books`, `accounts`. `counted` tells a person, line by line, what the state in the books holds."""
    return mix_verb(driven), storm_verb(driven), books_verb(driven, counted), accounts_verb(driven)


def mix_verb(driven: Driven[R]) -> click.Command:
    @click.command()
    @click.argument("changes", type=click.IntRange(1, 100_000))
    @click.option("--seed", type=int, help="The same seed makes the same changes.")
    @driven
    def mix(remote: R, account: str, as_json: bool, /, changes: int, seed: int | None) -> None:
        """Make random changes of every kind."""
        done = remote.mix(account, changes, seed)
        if as_json:
            show_json(done)
        else:
            click.echo(f"made {changes} changes; the account is at sequence {done['sequence']}")

    return mix


def storm_verb(driven: Driven[R]) -> click.Command:
    @click.command()
    @click.argument("pushes", type=click.IntRange(1, 1_000_000))
    @click.option("--edits", is_flag=True, help="Each push tells a real edit; else nothing is new.")
    @click.option("--concurrency", type=click.IntRange(1, 64), default=64, show_default=True)
    @driven
    def storm(remote: R, account: str, as_json: bool, /, pushes: int, edits: bool, concurrency: int) -> None:
        """Send very many pushes at full speed."""
        id_ = remote.begin_storm(account, pushes, edits, concurrency)
        ended = _followed(remote, id_, pushes, visible=not as_json)
        if as_json:
            show_json(ended)
        else:
            rate = pushes / max(ended["seconds"], 0.001)
            click.echo(
                f"{ended['accepted']} of {pushes} answered 200, {ended['refused']} not, "
                f"in {ended['seconds']:.1f} s ({rate:,.0f} a second)"
            )

    return storm


def books_verb(driven: Driven[R], counted: Callable[[Any], list[str]]) -> click.Command:
    @click.command()
    @click.option("--parts", default=driven.parts, show_default=True, help="Only these, in JSON.")
    @driven
    def books(remote: R, account: str, as_json: bool, /, parts: str) -> None:
        """Read what the simulator knows of an account."""
        read = remote.books(account, parts)
        if as_json:
            show_json(read)
        else:
            _show_books(read, counted)

    return books


def accounts_verb(driven: Driven[R]) -> click.Command:
    @click.command()
    @click.option("--create", "new", metavar="ID", help="Make this account first; needs --token.")
    @click.option("--token", help="The bearer token of the new account.")
    @driven
    def accounts(remote: R, account: str, as_json: bool, /, new: str | None, token: str | None) -> None:
        """List the accounts, or make one."""
        if (new is None) != (token is None):
            raise Wrong("--create and --token go together")
        if new is not None and token is not None:
            remote.create_account(new, token)
        listed = remote.accounts()
        if as_json:
            show_json(listed)
            return
        for known in listed:
            say(f"{known['account']}  {known['full_name']}, {known['sequence']} changes")

    return accounts


def _followed(remote: R, id_: str, total: int, *, visible: bool) -> dict[str, Any]:
    """Wait for a storm with a progress bar; returns its end."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), disable=not visible) as progress:
        bar = progress.add_task("pushes", total=total)
        while True:
            state = remote.storm(id_)
            progress.update(bar, completed=state["accepted"] + state["refused"])
            if state["ended"]:
                return state
            sleep(0.1)


def _show_books(read: dict[str, Any], counted: Callable[[Any], list[str]]) -> None:
    click.echo(f"account {read['account']}, sequence {read['sequence']}")
    for line in counted(read):
        click.echo(f"  {line}")
    pushes = read.get("pushes", [])
    unheard = sum(not push["accepted"] for push in pushes)
    click.echo(f"  pushes: {len(pushes)}, {unheard} of them never answered 200")
    for call, statuses in read.get("calls", {}).items():
        click.echo(f"  {call}: " + ", ".join(f"{count} × {status}" for status, count in statuses.items()))
