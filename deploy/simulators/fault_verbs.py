"""The verbs that switch a running simulator's faults."""

from collections.abc import Callable, Sequence
from typing import Any

import click

from deploy.simulators.driving import Driven, R, show_json

Option = Callable[[Callable[..., Any]], Callable[..., Any]]


def fault_verbs(driven: Driven[R], kinds: Sequence[str], *own: Option) -> click.Group:
    """`faults` with its verbs; `kinds` are the provider's ways for an API call to fail, `own` the options that only it
    has for them."""

    @click.group()
    def faults() -> None:
        """Switch faults of pushes and API calls on and off."""

    @faults.command()
    @driven
    def show(remote: R, account: str, as_json: bool, /) -> None:
        """What is switched on."""
        _show_faults(remote.faults(), as_json)

    @faults.command()
    @driven
    def clear(remote: R, account: str, as_json: bool, /) -> None:
        """Switch everything off."""
        _show_faults(remote.set_faults({}), as_json)

    @faults.command()
    @click.option("--delay", type=(float, float), metavar="FROM TO", help="Seconds before a push goes out.")
    @click.option("--drop", type=click.FloatRange(0, 1), help="Part of the pushes that is never sent.")
    @click.option("--duplicate", type=click.FloatRange(0, 1), help="Part of the pushes that is sent twice.")
    @click.option("--reorder", type=click.IntRange(0), help="How many later pushes may overtake one.")
    @click.option("--seed", type=int, help="The same seed loses, copies and reorders alike.")
    @driven
    def push(remote: R, account: str, as_json: bool, /, **given: Any) -> None:
        """Make pushes late, lost, doubled or out of order."""
        present = remote.faults()
        changed = present["push"] | {name: value for name, value in given.items() if value is not None}
        _show_faults(remote.set_faults(present | {"push": changed}), as_json)

    @click.argument("kind", type=click.Choice(kinds), metavar="KIND")
    @click.option("--times", type=click.IntRange(1), help="Only for so many calls.")
    @click.option("--fraction", type=click.FloatRange(0, 1), help="Only this part of the calls.")
    @click.option("--path", help="Only paths that begin so.")
    @click.option("--status", type=click.IntRange(400, 599), help="For kinds that have a choice of them.")
    @click.option("--retry-after", type=click.IntRange(0), help="Seconds, for rate_limited.")
    @click.option("--seconds", type=click.FloatRange(0), help="For slow and trickle.")
    @click.option("--only", "owner", metavar="ACCOUNT", help="Only calls of this account.")
    @driven
    def api(remote: R, account: str, as_json: bool, /, kind: str, owner: str | None, **given: Any) -> None:
        present = remote.faults()
        fault = {"kind": kind, "account": owner, **{name: value for name, value in given.items() if value is not None}}
        _show_faults(remote.set_faults(present | {"api": [*present["api"], fault]}), as_json)

    api.__doc__ = f"Make API calls fail. KIND: {', '.join(kinds[:-1])} or {kinds[-1]}."
    command = api
    for option in own:
        command = option(command)
    faults.command("api")(command)
    return faults


def _show_faults(present: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show_json(present)
        return
    click.echo("pushes: " + ", ".join(f"{name} {value}" for name, value in present["push"].items()))
    for fault in present["api"] or [{"kind": "no faults"}]:
        click.echo(
            "API:    " + ", ".join(f"{value}" if name == "kind" else f"{name} {value}" for name, value in fault.items())
        )
