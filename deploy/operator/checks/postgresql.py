"""PostgreSQL: whether it is the right one, keeps what it has, and has room for today."""

from typing import Final

from deploy import outside
from deploy.operator.checks.finding import Finding, Ward, bad, ok, some, warn
from deploy.operator.lines import count
from outbox import health, migrate
from outbox.health import Server

OLDEST_POSTGRESQL: Final = 18
CLOCK_WARN, CLOCK_BAD = 1.0, 30.0
"""Seconds. Versions follow the database's clock, token and subscription expiries ours."""


async def postgresql(ward: Ward) -> Finding:
    asked = await health.server(ward.pool)
    where = f"{outside.postgresql(ward.database)} answers"
    if asked.standby:
        return bad(f"{where} as a standby, which cannot be written", "name the primary in LIFEOS_DATABASE_URL")
    if int(asked.version.split(".")[0]) < OLDEST_POSTGRESQL:
        return bad(f"{where}, version {asked.version}", f"PostgreSQL {OLDEST_POSTGRESQL} or newer is needed")
    return ok(f"{where}, version {asked.version}")


async def schema(ward: Ward) -> Finding:
    try:
        await migrate.check(ward.pool)
    except migrate.SchemaDrift as error:
        what, _, next_ = str(error).rpartition(": ")
        return bad(what, next_)
    return ok(f"at version {len(migrate.migrations())}, which is this code's")


async def clock(ward: Ward) -> Finding:
    return judged_clock(await health.clock(ward.pool))


def judged_clock(ahead: float) -> Finding:
    """`ahead`: seconds by which the database's clock is ahead of ours."""
    said = f"PostgreSQL's clock is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} ours"
    mend = "let both machines follow the same time servers"
    if abs(ahead) > CLOCK_BAD:
        return bad(said, mend)
    return warn(said, mend) if abs(ahead) > CLOCK_WARN else ok("PostgreSQL's clock agrees with ours")


async def durability(ward: Ward) -> Finding:
    return judged_durability(await health.server(ward.pool), ward.database.development)


def judged_durability(server: Server, development: bool) -> Finding:
    """Whether PostgreSQL keeps what it has acknowledged, over a crash and over a fail-over."""
    if development:
        return ok("not judged in development")
    if not (server.fsync and server.full_page_writes):
        return bad("PostgreSQL forgets in a crash what it had committed", "set fsync and full_page_writes to on")
    if server.synchronous_commit in ("off", "local"):
        return bad(f"synchronous_commit is {server.synchronous_commit}", "set it to on, or remove what sets it so")
    if None in server.standbys:
        return warn("whether the standbys are synchronous may not be seen", "grant pg_monitor to our role")
    if "async" in server.standbys and not {"sync", "quorum"} & set(server.standbys):
        return bad("a fail-over to the asynchronous standby loses commits", "set synchronous_standby_names")
    standbys = "with a synchronous standby" if server.standbys else "no standby"
    return ok(f"a commit is on disk before it counts; {standbys}")


async def days(ward: Ward) -> Finding:
    found = await health.days(ward.pool)
    if found.today:
        return bad(
            f"no day partition for today: {some(found.today)}; nothing can be written there",
            "run lifeos migrate, which makes them; lifeos processors does so each hour",
        )
    if found.ahead:
        return warn(
            f"day partitions reach {count(found.reach, 'day')} ahead only, missing: {some(found.ahead)}",
            "run lifeos migrate, which makes them; lifeos processors does so each hour, unless its log has `partitions "
            "were not tended`",
        )
    if found.past:
        return warn(
            f"past their keep and not dropped: {some(found.past)}",
            "start lifeos processors, which drops them each hour, unless somebody reads them or the outbox is behind",
        )
    return ok(f"day partitions reach {count(found.reach, 'day')} ahead, and none is past its keep")
