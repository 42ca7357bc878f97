"""The whole local stack, from nothing to running and back."""

import asyncio
import fcntl
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import httpx

from deploy.local import environment, flow, ports, secrets, servers
from deploy.local.kafka import Kafka, Runtime
from deploy.local.postgres import PostgreSQL
from deploy.local.process import Child, Refused, StackError
from deploy.local.screen import Screen
from deploy.local.servers import Servers, given
from deploy.local.simulated import SIMULATED
from deploy.local.supervisor import Kept, keep, lifeos, once, stop_all, until_signal

DATABASE = "lifeos"
PROCESSES = {"ingress": ("ingress",), "processors": ("processors",), "relay": ("relay",)}
READY_WITHIN = 60.0
# What belongs to one process or one call, and would mislead another.
PRIVATE = {"LIFEOS_STATE_DIR", "LIFEOS_OPS_LISTEN", "LIFEOS_PYTHON"}


class AlreadyRunning(Refused):
    """Another supervisor holds this state directory."""


@contextmanager
def locked(state: Path) -> Iterator[None]:
    """Be the only supervisor of this state directory; the kernel ends that with this process, however it ends."""
    descriptor = os.open(environment.usable(state) / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        take(descriptor, state)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        forget(state)
        yield
        forget(state)
    finally:
        os.close(descriptor)


def take(descriptor: int, state: Path) -> None:
    """Lock, or raise AlreadyRunning. A verb that asks whether we run holds the lock for an instant, hence the tries."""
    for _ in range(10):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return
    raise AlreadyRunning(
        f"The stack of {state} is running already (process {supervisor(state)}). "
        "`lifeos down` stops it; LIFEOS_STATE_DIR names a place for another one."
    )


def supervisor(state: Path) -> int | None:
    """The process that supervises this state directory; None where none does."""
    lock = state / "lock"
    if not environment.held(lock):
        return None
    written = lock.read_text("utf-8")
    return int(written) if written.isdigit() else None


def forget(state: Path) -> None:
    """Nothing runs here (yet, or any more): verbs must not find what ran before."""
    for name in ("env", "ready"):
        (state / name).unlink(missing_ok=True)


async def up(state: Path, screen: Screen, variables: Mapping[str, str] = os.environ) -> None:
    """Start everything, stay until asked to end, stop everything. Raises StackError with what keeps it from running."""
    running: list[Kept] = []
    try:
        await until_signal(run(state, screen, variables, running))
    finally:
        try:
            screen.step("Stopping")
        finally:
            await stop_all(reversed(running), screen.say)


async def run(state: Path, screen: Screen, variables: Mapping[str, str], running: list[Kept]) -> None:
    """Everything up to being stopped. What is to be stopped later is put into `running` before it starts."""
    settings = await serve(state, screen, variables, running)
    screen.step("Migrating")
    await once(lifeos("migrate", ["migrate"], state / "log", settings))
    children = processes(state, settings)
    ops = {name: ops_address(child) for name, child in children.items()}
    environment.write(state / "env", {k: v for k, v in settings.items() if k not in PRIVATE and "\n" not in v})
    async with asyncio.TaskGroup() as keepers, httpx.AsyncClient(timeout=2.0, trust_env=False) as client:
        for server in list(running):
            keepers.create_task(keep(server, screen.say))
        # The simulators last: what they push before the door is open they would only have to push again.
        for name in ("relay", "processors", "ingress"):
            await begin(children[name], running)
            keepers.create_task(keep(children[name], screen.say))
        for name in ("relay", "processors", "ingress"):
            await answering(name, ops[name], client, screen)
        for simulated in SIMULATED:
            if simulator := children.get(simulated.name):
                await begin(simulator, running)
                keepers.create_task(keep(simulator, screen.say))
                await answering(simulated.name, ops[simulated.name], client, screen)
                screen.step(f"Connecting the demo account of {simulated.title}")
                await once(lifeos("connections", simulated.connecting, state / "log", settings))
        (state / "ready").write_text(str(os.getpid()), "utf-8")
        screen.ready(settings, state, detached=False)
        await watch(ops, client, screen)


async def serve(state: Path, screen: Screen, variables: Mapping[str, str], running: list[Kept]) -> dict[str, str]:
    """Start those servers that are ours; everything the processes need to know is what comes back."""
    screen.step("Looking for Java and Kafka's jars")
    ours = await servers.prepare(state, state, variables, lambda said: screen.live(f"Fetching {said}"))
    screen.step(f"Starting {' and '.join(names(ours)) or 'nothing: both servers are given'}")
    running += [server for server in (ours.postgres, ours.kafka) if server]
    await servers.start(ours, variables)
    if ours.postgres:
        await ours.postgres.create(DATABASE)
    return settings(state, ours, variables)


def names(ours: Servers) -> list[str]:
    words = {"PostgreSQL": ours.postgres, "Kafka": ours.kafka}
    return [word for word, server in words.items() if server]


def settings(state: Path, ours: Servers, variables: Mapping[str, str]) -> dict[str, str]:
    """The LIFEOS_ variables of every process: what is given, else this stack's own."""
    chosen = ports.choose(state / "ports", ["INGRESS", *(one.port for one in SIMULATED)])
    own = {"LIFEOS_ENV": "development", "LIFEOS_INGRESS_LISTEN": f"127.0.0.1:{chosen['INGRESS']}"}
    if ours.postgres:
        own["LIFEOS_DATABASE_URL"] = ours.postgres.dsn(DATABASE)
    if ours.kafka:
        own["LIFEOS_KAFKA_BOOTSTRAP"] = ours.kafka.bootstrap
    for one in SIMULATED:
        if not given(one.url, variables):
            own[one.listen] = f"127.0.0.1:{chosen[one.port]}"
    made = secrets.development(state / "secrets.env")
    own |= {name: value for name, value in made.items() if not given(name, variables)}
    own |= {name: value for name, value in variables.items() if name.startswith("LIFEOS_") and value}
    own.setdefault("LIFEOS_PUBLIC_URL", f"http://{own['LIFEOS_INGRESS_LISTEN']}")
    for one in SIMULATED:
        if one.listen in own:
            own.setdefault(one.url, f"http://{own[one.listen]}")
    return own


def processes(state: Path, settings: Mapping[str, str]) -> dict[str, Child]:
    """The processes by name, each with an ops address of its own; simulators answer on their public ones."""
    chosen = ports.choose(state / "ports", [f"OPS_{name.upper()}" for name in PROCESSES])
    children = {}
    for name, verb in PROCESSES.items():
        ops = {"LIFEOS_OPS_LISTEN": f"127.0.0.1:{chosen[f'OPS_{name.upper()}']}"}
        children[name] = lifeos(name, verb, state / "log", {**settings, **ops})
    for one in SIMULATED:
        if one.listen in settings:
            children[one.name] = lifeos(one.name, one.serving(state), state / "log", settings)
    return children


def ops_address(child: Child) -> str:
    """Where a process says whether it is ready."""
    assert child.variables is not None
    listens = {one.name: one.listen for one in SIMULATED}
    return child.variables[listens.get(child.name, "LIFEOS_OPS_LISTEN")]


async def begin(child: Child, running: list[Kept]) -> None:
    running.append(child)
    await child.start()


async def answering(name: str, address: str, client: httpx.AsyncClient, screen: Screen) -> None:
    """Wait until a process says that it has started; its keeper meanwhile starts it again where it dies."""
    screen.step(f"Waiting for {name}")
    try:
        async with asyncio.timeout(READY_WITHIN):
            while not await flow.is_ready(client, address):
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise StackError(f"{name} is not ready after {READY_WITHIN:.0f} s (http://{address}/readyz)") from None


async def watch(ops: Mapping[str, str], client: httpx.AsyncClient, screen: Screen) -> NoReturn:
    """The live line, for as long as everything runs."""
    meter = flow.Meter()
    counted = {name: address for name, address in ops.items() if name in PROCESSES}
    while True:
        screen.live(meter.read(await flow.scrape(client, counted)))
        await asyncio.sleep(1.0)


async def down(state: Path, bound: float = 90.0) -> bool:
    """Stop the stack of this state directory and wait for its end; whether anything ran.

    Servers that a killed supervisor left behind are ended too.
    """
    if state.exists() and not state.is_dir():
        raise environment.unusable(state, "it is not a directory")
    pid = supervisor(state)
    if pid is None:
        return await sweep(state)
    os.kill(pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(bound):
            while supervisor(state) == pid:
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise StackError(f"process {pid} has not ended after {bound:.0f} s: see {state / 'log'}") from None
    return True


async def sweep(state: Path) -> bool:
    """End what a killed supervisor left; whether there was anything."""
    nowhere = Runtime(Path("java"), state)
    kafka = Kafka(state / "kafka", state / "log" / "kafka.log", nowhere)
    postgres = PostgreSQL(state / "postgres", state / "log" / "postgresql.log")
    return any([await kafka.dislodge(), await postgres.dislodge()])
