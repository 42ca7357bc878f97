"""The two servers of the local stack, ours or given, behind one shape."""

import asyncio
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deploy.local import java, ports
from deploy.local.kafka import Kafka, Runtime
from deploy.local.postgres import PostgreSQL
from deploy.local.process import Refused


class Server(Protocol):
    """What the supervisor needs of a server that it keeps running."""

    name: str

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def wait(self) -> int: ...
    def why(self) -> str: ...


@dataclass(frozen=True)
class Servers:
    """Those that are ours; None where the environment gives one."""

    postgres: PostgreSQL | None
    kafka: Kafka | None


def given(name: str, variables: Mapping[str, str]) -> bool:
    """Whether a setting comes from outside, itself or as a file."""
    return bool(variables.get(name) or variables.get(f"{name}_FILE"))


async def prepare(state: Path, jars: Path, variables: Mapping[str, str], progress: java.Progress) -> Servers:
    """The servers below `state` that are ours to run, with all they need fetched into `jars`; none started yet."""
    log = state / "log"
    postgres = kafka = None
    if not given("LIFEOS_DATABASE_URL", variables):
        postgres = PostgreSQL(state / "postgres", log / "postgresql.log")
    if not given("LIFEOS_KAFKA_BOOTSTRAP", variables):
        kafka = Kafka(state / "kafka", log / "kafka.log", Runtime(*await java.jars(jars, progress)))
    return Servers(postgres, kafka)


async def start(servers: Servers, variables: Mapping[str, str] = os.environ) -> None:
    """Start ours, both at once; ports come from LIFEOS_POSTGRES_PORT and LIFEOS_KAFKA_PORT where they are set."""
    async with asyncio.TaskGroup() as starting:
        if servers.postgres:
            starting.create_task(start_one(servers.postgres, "LIFEOS_POSTGRES_PORT", variables))
        if servers.kafka:
            starting.create_task(start_one(servers.kafka, "LIFEOS_KAFKA_PORT", variables))


async def start_one(server: PostgreSQL | Kafka, name: str, variables: Mapping[str, str]) -> None:
    await server.dislodge()
    await server.start(port(name, variables))


def port(name: str, variables: Mapping[str, str]) -> int | None:
    """The free port a variable asks for; None where it asks for none."""
    wanted = number(name, variables)
    if wanted is not None and not ports.free(wanted):
        raise Refused(f"{name}: port {wanted} is taken by another program; choose one, or unset it")
    return wanted


def number(name: str, variables: Mapping[str, str]) -> int | None:
    """The port a variable asks for, free or not."""
    wanted = variables.get(name)
    if not wanted:
        return None
    if not re.fullmatch("[0-9]{1,5}", wanted) or not 0 < int(wanted) < 65_536:
        raise Refused(f"{name}: {wanted!r} is not a port (1 to 65535)")
    return int(wanted)


async def stop(servers: Servers) -> None:
    """Stop ours, Kafka first; then whatever the first failure was, if any."""
    try:
        if servers.kafka:
            await servers.kafka.stop()
    finally:
        if servers.postgres:
            await servers.postgres.stop()
