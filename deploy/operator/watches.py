"""`lifeos watches`: the subscriptions at providers."""

from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import click

from deploy.operator.ask import ask, database
from deploy.operator.lines import ago, json_lines, show
from deploy.operator.listing import Listing
from schemas.providers import PROVIDERS
from schemas.settings import DatabaseSettings

STATUSES: Final = ("pending", "active", "expired", "replaced", "unwatchable", "stopping", "stopped", "failed")
HEADINGS: Final = ("subscription", "status", "expires", "heard", "message", "account", "resource", "last error")
COLOURS: Final = {"active": "green", "pending": "yellow", "expired": "yellow", "failed": "red"}


EXPIRING: Final = ("active", "expired", "replaced", "stopping")
"""Those of which it matters when they end, or ended."""


@click.group(cls=Listing)
def watches() -> None:
    """Watches: our subscriptions at providers that announce changes only when asked to. Without a verb: `list`."""


@watches.command("list", short_help="List subscriptions, those that are not active first.")
@click.option("--provider", type=click.Choice(PROVIDERS))
@click.option("--connection", type=click.UUID, help="Only subscriptions of this connection.")
@click.option("--status", type=click.Choice(STATUSES), help="Without it: all but the stopped ones.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(provider: str | None, connection: UUID | None, status: str | None, limit: int, as_json: bool) -> None:
    """List subscriptions: those that are not active first, then the next to expire.

    `pending`: to be made. `active`: changes are announced until it expires. `expired`: they no longer are. `replaced`:
    it expired or failed, and another announces the same changes. `unwatchable`: the provider announces
    nothing of this resource, which is read every 15 minutes instead. `stopping`, `stopped`: its resource is gone, or
    another took its place. `failed`: a person has to act. `heard` is when its last message came, `message` that
    message's number. Todoist has none: its webhooks belong to the app.
    """

    async def work(settings: DatabaseSettings) -> list[dict[str, Any]]:
        from outbox import standing

        async with database(settings) as db:
            return await standing.watches(db, provider=provider, connection_id=connection, status=status, most=limit)

    rows = ask(DatabaseSettings, work)
    now = datetime.now(UTC)
    if as_json:
        json_lines(rows)
    elif rows:
        show(HEADINGS, [cells(row, now) for row in rows], [COLOURS.get(row["status"]) for row in rows], painted=1)
    else:
        click.echo("no subscriptions that match")


def cells(row: dict[str, Any], now: datetime) -> tuple[str, ...]:
    """A subscription as the line of a table, under `HEADINGS`."""
    expires = "" if row["status"] not in EXPIRING else expiry(row["expires_at"], now)
    heard = ago(row["heard_at"], now)
    message = "" if row["message"] is None else str(row["message"])
    told = (str(row["subscription_id"]), row["status"], expires, heard, message, row["account"], row["resource"])
    return (*told, row["last_error"] or "")


def expiry(expires_at: datetime | None, now: datetime) -> str:
    """When it ends: `in 6 d`, `3 h ago`, `never`."""
    said = ago(expires_at, now)
    return f"{said} ago" if expires_at is not None and expires_at <= now else said
