"""Accounts: whether what is due is read, what is announced stays so, and who has to act."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Final

from deploy.operator.checks.finding import Finding, Ward, bad, ok, some, warn
from deploy.operator.lines import span
from outbox import health
from outbox.health import Subscriptions
from processors.providers import reader, watched
from schemas.providers import PROVIDERS
from schemas.settings import BadSettings, ProcessorsSettings, load

OVERDUE: Final = timedelta(seconds=30)
RETRYING: Final = 3
"""Failed attempts in a row, after which subscribers hear of it, too."""
NEAR: Final = timedelta(hours=24)
NEAR_SHARE: Final = 0.1
PENDING: Final = timedelta(minutes=5)
LATELY: Final = timedelta(hours=24)


async def cursors(ward: Ward) -> Finding:
    found = await health.overdue(ward.pool, OVERDUE)
    if found.cursors:
        return bad(
            f"{found.cursors} due for more than {OVERDUE.seconds} s and not begun, the oldest for "
            f"{span(found.oldest_seconds)}",
            "start lifeos processors, or more of them",
        )
    return ok("nothing that is due waits")


async def connections(ward: Ward) -> Finding:
    found = await health.accounts(ward.pool, RETRYING)
    if found.halted:
        more = f", {found.retrying} more failed {RETRYING} times in a row or more" if found.retrying else ""
        waits = "waits" if found.halted == 1 else "wait"
        return warn(
            f"{found.halted} of {found.connections} {waits} for somebody to connect again{more}",
            "lifeos connections list --state needs_reauthorization",
        )
    if found.retrying:
        return warn(
            f"{found.retrying} of {found.connections} failed {RETRYING} times in a row or more",
            "lifeos connections list --state retrying",
        )
    return ok(f"none of {found.connections} waits for a person or fails again and again")


async def readers(ward: Ward) -> Finding:
    unread = [
        product for product in await health.products(ward.pool) if not _is_read(product.provider, product.resource)
    ]
    if unread:
        named = some(f"{product.provider} {product.resource} ({product.cursors})" for product in unread)
        return bad(f"this version reads no {named}", "deploy the version that does; that of the schema may be newer")
    return ok("every resource has a reader in this version")


def _is_read(provider: str, resource: str) -> bool:
    known = next((name for name in PROVIDERS if name == provider), None)
    try:
        return known is not None and bool(reader(known, resource))
    except LookupError:
        return False


async def subscriptions(ward: Ward) -> Finding:
    return judged_subscriptions(await health.subscriptions(ward.pool, NEAR, NEAR_SHARE, PENDING))


async def channels(ward: Ward) -> Finding:
    """Whether subscriptions can be made where accounts need them. Judged where processors could start only."""
    try:
        given = load(ProcessorsSettings, {"LIFEOS_OPS_LISTEN": "127.0.0.1:0"} | dict(ward.variables))
    except BadSettings:
        return ok("not judged: the settings of lifeos processors are not here")
    connected = {product.provider for product in await health.products(ward.pool)}
    silent = [provider for provider in PROVIDERS if provider in connected and watched(provider)]
    values = {"LIFEOS_CHANNEL_KEYS": given.channel_keys, "LIFEOS_PUBLIC_URL": given.public_url}
    unset = [name for name, value in values.items() if value is None]
    if silent and unset:
        said = f"{' and '.join(unset)} {'is' if len(unset) == 1 else 'are'} not set, and {some(silent)} is connected"
        return warn(
            f"{said}: what changes there is only found from time to time",
            f"set {' and '.join(unset)} for lifeos processors, the keys for lifeos ingress, too",
        )
    return ok("what subscriptions are made with is set" if not unset else "nobody is connected who needs subscriptions")


def judged_subscriptions(found: Subscriptions) -> Finding:
    why = f": {found.error}" if found.error else ""
    if found.failed:
        return warn(f"{found.failed} failed{why}", "lifeos watches list --status failed")
    if found.waiting:
        said = f"{found.waiting} could not be made for {span(PENDING.total_seconds())}{why}"
        return warn(said, "lifeos watches list --status pending")
    if found.expired:
        said = f"{found.expired} expired: what changes there is only found from time to time"
        return warn(
            said, "connect the accounts again, which makes new ones; lifeos watches list --status expired names them"
        )
    if found.near:
        assert found.nearest_seconds is not None
        said = f"{found.near} {'expires' if found.near == 1 else 'expire'} soon, the first in {span(found.nearest_seconds)}"
        return warn(said, "see the log of lifeos processors; connecting an account again makes new ones")
    nearest = "" if found.nearest_seconds is None else f", the next expires in {span(found.nearest_seconds)}"
    return ok(f"{found.active} active{nearest}")


async def parked(ward: Ward) -> Finding:
    found = await health.parked(ward.pool, LATELY)
    if found:
        counts = ", ".join(f"{count} {reason}" for reason, count in found.items())
        return warn(f"in the last 24 h: {counts}", "; ".join(_read(found)))
    return ok("nothing in the last 24 h")


def _read(reasons: Iterable[str]) -> Iterator[str]:
    """Where what was parked for these reasons says what was wrong with it."""
    if set(reasons) - {"item_malformed"}:
        yield "lifeos deliveries --outcome parked, then lifeos deliveries show ID says why"
    if "item_malformed" in reasons:
        yield "an item's reason is in the table parked, under detail"
