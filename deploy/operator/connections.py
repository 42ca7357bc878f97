"""`lifeos connections`: whose account at which provider, how fresh it is, and what to do where it is not."""

from collections.abc import Awaitable, Iterator
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import click

from deploy.operator import advice
from deploy.operator.ask import ask, database
from deploy.operator.lines import ago, json, json_lines, say, show
from deploy.operator.listing import Listing
from deploy.operator.story import COUNTED, outcome_of
from deploy.operator.watches import expiry
from schemas.providers import PROVIDERS
from schemas.settings import ConnectSettings, DatabaseSettings

STATES: Final = ("ok", "unannounced", "reading", "retrying", "needs_reauthorization")
HEADINGS: Final = ("connection", "account", "state", "read", "provider", "resources", "last error")
COLOURS: Final = {"ok": "green", "unannounced": "yellow", "retrying": "yellow", "needs_reauthorization": "red"}


@click.group(cls=Listing)
def connections() -> None:
    """Connections: whose account at which provider, and how fresh it is. Without a verb: `list`."""


def _filled(context: click.Context, option: click.Parameter, text: str) -> str:
    if not text.strip():
        raise click.BadParameter("must not be empty")
    return text


@connections.command(short_help="Connect an account of a simulator, or again.")
@click.argument("provider", type=click.Choice(PROVIDERS))
@click.option("--account", required=True, callback=_filled, help="The provider's id (Todoist: of the user).")
@click.option("--token", required=True, callback=_filled, help="The access token that the provider's simulator knows.")
def add(provider: Any, account: str, token: str) -> None:
    """Connect an account of a simulator, or connect it again; a full read follows. Only in development."""

    async def work(settings: ConnectSettings) -> UUID:
        from outbox import connections
        from outbox.vault import Vault
        from processors.providers import roots, watched

        async with database(settings) as db:
            return await connections.add(
                db,
                Vault(settings.vault_keys),
                provider=provider,
                account=account,
                token=token,
                resources=roots(provider),
                watched=watched(provider),
            )

    def only_here(settings: ConnectSettings) -> Awaitable[UUID]:
        if not settings.development:
            raise LookupError("connections add is for development: people connect their accounts themselves")
        return work(settings)

    id_ = ask(ConnectSettings, only_here)
    click.echo(f"connected {provider} account {account}: connection {id_}")
    click.echo(f"it is being read now; whether the provider takes the token: lifeos connections show {id_}")


@connections.command("list", short_help="List connections, those in trouble first.")
@click.option("--provider", type=click.Choice(PROVIDERS))
@click.option("--account", help="Only connections of this account, by the provider's id.")
@click.option("--state", type=click.Choice(STATES))
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line; `next` is what to do.")
def list_(provider: str | None, account: str | None, state: Any, limit: int, as_json: bool) -> None:
    """List connections, those in trouble first: one line each.

    `ok`: everything of it is read. `unannounced`: so it is, but a subscription of it has failed or expired, so that
    something is only read from time to time. `reading`: something was never read to its end yet. `retrying`: the last
    attempt at something failed, and it is tried again. `needs_reauthorization`: the person has to act. `read` is how long ago the
    resource that waits longest was last read; `never` while one was never read to its end.
    """

    async def work(settings: DatabaseSettings) -> list[dict[str, Any]]:
        from outbox import standing

        async with database(settings) as db:
            return await standing.connections(db, provider=provider, account=account, state=state, most=limit)

    rows = ask(DatabaseSettings, work)
    now = datetime.now(UTC)
    if as_json:
        json_lines(_advised(row) for row in rows)
    elif rows:
        show(HEADINGS, [cells(row, now) for row in rows], [COLOURS.get(row["state"]) for row in rows], painted=2)
    else:
        click.echo("no connections that match")


def cells(row: dict[str, Any], now: datetime) -> tuple[str, ...]:
    """A connection as the line of a table, under `HEADINGS`."""
    read = ago(row["fresh"], now)
    told = (str(row["connection_id"]), row["account"], row["state"], read, row["provider"], str(row["resources"]))
    return (*told, row["last_error"] or "")


def _advised(row: dict[str, Any]) -> dict[str, Any]:
    """A row with `next`: what to do about its last error."""
    return row | {"next": advice.about(row["last_error"])}


@connections.command("show", short_help="Show one connection: its resources, errors and what to do.")
@click.argument("id_", metavar="ID", type=click.UUID)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def show_(id_: UUID, as_json: bool) -> None:
    """Show the connection ID: each of its resources with its last run, its last error and what to do, and whether its
    changes are announced."""

    async def work(settings: DatabaseSettings) -> dict[str, Any]:
        from outbox import standing

        async with database(settings) as db:
            found = await standing.connections(db, connection_id=id_)
            if not found:
                raise LookupError(f"there is no connection {id_}: lifeos connections list has them all")
            (connection,) = found
            rows = await standing.resources(db, connection["tenant_id"], id_)
        return _advised(connection) | {"resources": [_advised(row) for row in rows]}

    told = ask(DatabaseSettings, work)
    if as_json:
        click.echo(json(told))
        return
    for line in lines(told, datetime.now(UTC)):
        say(line)


def lines(told: dict[str, Any], now: datetime) -> Iterator[str]:
    """A connection as text."""
    yield f"{told['provider']} account {told['account']}: {told['state']}"
    yield f"  connection  {told['connection_id']}"
    yield f"  tenant      {told['tenant_id']}, lane {told['lane']}"
    yield f"  connected   {told['created_at']:%Y-%m-%d %H:%M} UTC"
    yield f"  read        {_since(told['fresh'], now)}"
    yield from _trouble(told)
    for resource in told["resources"]:
        yield ""
        yield from _resource(told["provider"], resource, now)


def _resource(provider: Any, row: dict[str, Any], now: datetime) -> Iterator[str]:
    yield row["resource"] + (" (exists no more)" if row["closed"] else "")
    if row["closed"]:
        return
    yield f"  read        {_since(row['last_done'], now)}"
    if row["last_run_id"]:
        yield f"  last run    {_run(row, now)}"
    yield f"  next run    {_next(row, now)}"
    yield f"  announced   {_announced(provider, row, now)}"
    yield from _trouble(row)


def _since(moment: datetime | None, now: datetime) -> str:
    return "never to its end yet" if moment is None else f"{ago(moment, now)} ago"


def _run(row: dict[str, Any], now: datetime) -> str:
    counts = {name: row[f"last_run_{name}"] for name in COUNTED}
    found = outcome_of(row["last_run_outcome"], counts) or "nothing new"
    return f"{row['last_run_id']} {row['last_run_outcome']} {ago(row['last_run_ended_at'], now)} ago: {found}"


def _next(row: dict[str, Any], now: datetime) -> str:
    if row["leased_by"]:
        return f"under way, by {row['leased_by']}"
    if row["halted"]:
        return "none before the account is connected again"
    due = ago(row["due_at"], now)
    return due if row["due_at"] > now else f"due since {due}"


def _announced(provider: Any, row: dict[str, Any], now: datetime) -> str:
    from processors.providers import watcher

    if row["subscription"] is None:
        return (
            "no subscription yet"
            if watcher(provider, row["resource"])
            else "without a subscription: by the app's webhook"
        )
    said = f"{row['subscription']}, subscription {row['subscription_id']}"
    if row["subscription"] in ("active", "expired"):
        ends = expiry(row["subscription_expires_at"], now)
        said += f" {ends}" if row["subscription"] == "expired" else f", expires {ends}"
        said += f", heard {ago(row['subscription_heard_at'], now)}"
    return said + (f": {row['subscription_error']}" if row["subscription_error"] else "")


def _trouble(row: dict[str, Any]) -> Iterator[str]:
    if row["last_error"]:
        yield f"  last error  {row['last_error']}"
        yield f"  do          {row['next']}"
