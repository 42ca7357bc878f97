"""The verbs that switch a running Todoist simulator's faults."""

from typing import TYPE_CHECKING, Any, get_args

import click

from deploy.simulators.driving import driving, show_json
from deploy.simulators.todoist.faults import ApiFaultKind

if TYPE_CHECKING:
    from deploy.simulators.drive import Remote


@click.group()
def faults() -> None:
    """Switch faults of pushes and API calls on and off."""


@faults.command()
@driving
def show(remote: "Remote", account: str, as_json: bool, /) -> None:
    """What is switched on."""
    _show_faults(remote.faults(), as_json)


@faults.command()
@driving
def clear(remote: "Remote", account: str, as_json: bool, /) -> None:
    """Switch everything off."""
    _show_faults(remote.set_faults({}), as_json)


@faults.command()
@click.option("--delay", type=(float, float), metavar="FROM TO", help="Seconds before a push goes out.")
@click.option("--drop", type=click.FloatRange(0, 1), help="Part of the pushes that is never sent.")
@click.option("--duplicate", type=click.FloatRange(0, 1), help="Part of the pushes that is sent twice.")
@click.option("--reorder", type=click.IntRange(0), help="How many later pushes may overtake one.")
@click.option("--seed", type=int, help="The same seed loses, copies and reorders alike.")
@driving
def push(remote: "Remote", account: str, as_json: bool, /, **given: Any) -> None:
    """Make pushes late, lost, doubled or out of order."""
    present = remote.faults()
    changed = present["push"] | {name: value for name, value in given.items() if value is not None}
    _show_faults(remote.set_faults(present | {"push": changed}), as_json)


@faults.command()
@click.argument("kind", type=click.Choice(get_args(ApiFaultKind)), metavar="KIND")
@click.option("--times", type=click.IntRange(1), help="Only for so many calls.")
@click.option("--fraction", type=click.FloatRange(0, 1), help="Only this part of the calls.")
@click.option("--path", help="Only paths that begin so, such as /api/v1/sync.")
@click.option("--status", type=click.IntRange(400, 599), help="For server_error and revoked.")
@click.option("--retry-after", type=click.IntRange(0), help="Seconds, for rate_limited.")
@click.option("--seconds", type=click.FloatRange(0), help="For slow and trickle.")
@click.option("--only", "owner", metavar="ACCOUNT", help="Only calls of this account.")
@driving
def api(remote: "Remote", account: str, as_json: bool, /, kind: str, owner: str | None, **given: Any) -> None:
    """Make API calls fail. KIND: rate_limited, server_error, slow, trickle, broken_json, no_sync_token,
    invalid_sync_token, full_sync, invalid_cursor, malformed_item or revoked."""
    present = remote.faults()
    fault = {"kind": kind, "account": owner, **{name: value for name, value in given.items() if value is not None}}
    _show_faults(remote.set_faults(present | {"api": [*present["api"], fault]}), as_json)


def _show_faults(present: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show_json(present)
        return
    click.echo("pushes: " + ", ".join(f"{name} {value}" for name, value in present["push"].items()))
    for fault in present["api"] or [{"kind": "no faults"}]:
        click.echo(
            "API:    " + ", ".join(f"{value}" if name == "kind" else f"{name} {value}" for name, value in fault.items())
        )
