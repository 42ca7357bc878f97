"""`lifeos doctor`: what is wrong, and what to do about it."""

import asyncio
import sys
import textwrap
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final, TypeVar

import click

from deploy import outside
from deploy.operator.ask import quiet, refuse, told_of, variables
from deploy.operator.lines import columns, json, printable
from schemas.settings import BadSettings, DatabaseSettings, KafkaSettings, load

if TYPE_CHECKING:
    from deploy.operator.checks import Check, Finding, Ward
    from outbox.postgres import Pool

T = TypeVar("T")
S = TypeVar("S", KafkaSettings, DatabaseSettings)

CHECK_SECONDS: Final = 15.0
"""Bound of one check, whatever it asks."""
COLOURS: Final = {"ok": "green", "warn": "yellow", "bad": "red", "unknown": "yellow"}
NAMES: Final = {"postgresql": "PostgreSQL", "kafka": "Kafka"}
NARROW, WIDE = 80, 100
INDENT: Final = " " * 24


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object: `status` and `checks`, each with its `next`.")
def doctor(as_json: bool) -> None:
    """Look for what is wrong with settings, schema, topics, clocks, partitions, cursors, subscriptions and lanes, and
    say what to do about it. Changes nothing.

    `ok`. `warn`: it works, and somebody should act, before it stops or for a single account. `bad`: it does not work,
    or would lose something. `unknown`: what the check asks does not answer, which another line says.

    Exit status: 0 everything is ok, 1 something is bad, 2 the settings of neither server are there or right,
    3 there are only warnings.
    """
    quiet()
    try:
        findings = asyncio.run(examined(variables()))
    except BadSettings as error:
        if as_json:
            _say_json(unexamined(error))
        refuse(error)
    status = overall(findings)
    if as_json:
        _say_json(findings)
    else:
        _show(findings)
    sys.exit({"ok": 0, "warn": 3}.get(status, 1))


def _say_json(findings: "Mapping[str, Finding]") -> None:
    fields = ("status", "said", "next")
    checks = [{"name": name} | {field: getattr(found, field) for field in fields} for name, found in findings.items()]
    click.echo(json({"status": overall(findings), "checks": checks}))


def unexamined(error: BadSettings) -> "dict[str, Finding]":
    """The findings where neither server is known, so that nobody can be asked."""
    from deploy.operator.checks import CHECKS, Finding

    unknown = Finding("unknown", "neither server is known")
    start = "./deploy/up starts the stack; elsewhere set what deploy/docs/settings.md names"
    return {name: unknown for name, _, _ in CHECKS} | {"settings": Finding("bad", str(error), start)}


def overall(findings: "Mapping[str, Finding]") -> str:
    """The worst status of all. What is unknown is so because something else is bad."""
    found = {finding.status for finding in findings.values()}
    return next((status for status in ("bad", "unknown", "warn") if status in found), "ok")


async def examined(given: Mapping[str, str]) -> "dict[str, Finding]":
    """Every check's finding, in their order. Raises `BadSettings` when the settings of neither server can be had."""
    from deploy.operator.checks import CHECKS, Ward

    kafka, database = _loaded(KafkaSettings, given), _loaded(DatabaseSettings, given)
    if isinstance(kafka, BadSettings) and isinstance(database, BadSettings):
        raise kafka
    async with _opened(database) as pool:
        ward = Ward(given, _had(kafka), _had(database), _had(pool))
        checks = {name: check for name, check, _ in CHECKS}
        troubles = {"postgresql": pool, "kafka": kafka}
        servers = [_answered(checks[name], ward, trouble) for name, trouble in troubles.items()]
        answers = dict(zip(troubles, await asyncio.gather(*servers), strict=True))
        away = {name for name, answer in answers.items() if isinstance(answer, Exception)}
        rest = [name for name, _, needs in CHECKS if name not in answers and not needs & away]
        answered = await asyncio.gather(*(_answered(checks[name], ward) for name in rest))
        answers |= dict(zip(rest, answered, strict=True))
    return {name: _finding(name, answers, away & needs, ward) for name, _, needs in CHECKS}


def _loaded(model: type[S], given: Mapping[str, str]) -> S | BadSettings:
    try:
        return load(model, given)
    except BadSettings as error:
        return error


def _had(what: T | Exception) -> T | None:
    return None if isinstance(what, Exception) else what


@asynccontextmanager
async def _opened(settings: DatabaseSettings | BadSettings) -> "AsyncIterator[Pool | Exception]":
    """A pool, or why there is none."""
    from outbox.postgres import REFUSED, TRANSIENT, UNAVAILABLE, pool

    if isinstance(settings, BadSettings):
        yield settings
        return
    async with AsyncExitStack() as stack:
        opened: Pool | Exception
        try:
            opened = await stack.enter_async_context(pool(settings.database_url.get_secret_value(), "doctor", size=4))
        except (BadSettings, *REFUSED, *TRANSIENT, *UNAVAILABLE) as error:
            opened = error
        yield opened


async def _answered(check: "Check", ward: "Ward", trouble: object = None) -> "Finding | Exception":
    """What a check finds, or why it could not look, which must hide no other; the trouble that keeps it from looking."""
    if isinstance(trouble, Exception):
        return trouble
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check(ward)
    except Exception as error:
        return error


def _finding(name: str, answers: "Mapping[str, Finding | Exception]", away: set[str], ward: "Ward") -> "Finding":
    from deploy.operator.checks import Finding

    answer = answers.get(name)
    if isinstance(answer, Finding):
        return answer
    if name in NAMES:
        return Finding("bad", _told(name, answer, ward), f"see whether {NAMES[name]} runs and can be reached from here")
    if away:
        return Finding("unknown", f"{' and '.join(NAMES[server] for server in sorted(away))} cannot be asked")
    schema = answers.get("schema")
    if isinstance(schema, Finding) and schema.status == "bad":
        return Finding("unknown", "the schema is not this version's")
    assert answer is not None
    return Finding("bad", f"could not be looked at: {outside.why(answer)}", "try again; if it stays, report it")


def _told(name: str, error: "Exception | None", ward: "Ward") -> str:
    """Why a server cannot be asked, in the words of every other verb."""
    assert error is not None
    settings = ward.kafka_settings if name == "kafka" else ward.database_settings
    return str(error) if settings is None else told_of(settings, error)


def _show(findings: "Mapping[str, Finding]") -> None:
    width = min(columns() or NARROW, WIDE)
    for name, found in findings.items():
        # The status is painted after wrapping: its colour has no width.
        first, *others = _wrapped(found.said, f"{found.status:<7}  {name:<15}", width)
        click.echo(first.replace(found.status, click.style(found.status, fg=COLOURS[found.status]), 1))
        for line in others:
            click.echo(line)
        if found.next:
            for line in _wrapped(f"→ {found.next}", INDENT, width):
                click.echo(click.style(line, bold=True))


def _wrapped(text: str, first: str, width: int) -> list[str]:
    return textwrap.wrap(
        printable(text),
        width,
        initial_indent=first,
        subsequent_indent=INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
