"""The real processes, as children of a test: started, killed, paused and asked for their status."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx

from deploy.local.ports import fresh

READY_SECONDS: Final = 30.0
STOP_SECONDS: Final = 15.0
ROLES: Final = ("ingress", "processors", "relay")


class Process:
    """One `lifeos <role>`. Its log is kept beside its siblings'."""

    def __init__(self, role: str, variables: Mapping[str, str], log: Path, ops: str) -> None:
        self.role = role
        self.log = log
        self._variables = {**variables, "LIFEOS_OPS_LISTEN": ops}
        self._ops = f"http://{ops}"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self, **more: str) -> None:
        """Starts it, with further variables for this life only; it may not be ready yet."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LIFEOS_")}
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "deploy.lifeos",
                self.role,
                env=environment | self._variables | more,
                stdout=log,
                stderr=log,
            )

    async def ready(self) -> None:
        """Returns when it says that it has started; fails with its log when it ends instead."""
        async with asyncio.timeout(READY_SECONDS), httpx.AsyncClient(trust_env=False) as client:
            while True:
                assert self.running, f"{self.role} ended:\n{self.said()}"
                try:
                    if (await client.get(f"{self._ops}/readyz")).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.02)

    async def metrics(self) -> str:
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(f"{self._ops}/metrics")).text

    async def ended(self, within: float = 30.0) -> int:
        """Its exit status, when it ends by itself (or at an armed failpoint)."""
        assert self._process is not None
        async with asyncio.timeout(within):
            return await self._process.wait()

    def signal_kill(self) -> None:
        """SIGKILL; whoever waits for its end reaps it."""
        os.kill(self.pid, signal.SIGKILL)

    async def kill(self) -> None:
        """SIGKILL, and reaped."""
        assert self._process is not None
        if self.running:
            self._process.kill()
        await self._process.wait()

    async def stop(self) -> int:
        """SIGTERM; its exit status."""
        if self._process is None:
            return 0
        if self.running:
            self._process.terminate()
        try:
            return await self.ended(STOP_SECONDS)
        except TimeoutError:
            await self.kill()
            raise AssertionError(f"{self.role} did not stop:\n{self.said()}") from None

    def pause(self) -> None:
        """SIGSTOP."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def said(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]


class Service:
    """Processes over one database and one topic prefix; the first of each role is reached by its name."""

    def __init__(self, variables: Mapping[str, str], logs: Path) -> None:
        self._logs = logs
        self._taken: set[int] = set()
        self.address = self._address()
        self.variables = {
            **variables,
            "LIFEOS_INGRESS_LISTEN": self.address,
            "LIFEOS_PUBLIC_URL": f"http://{self.address}",
        }
        self.ingress, self.processors, self.relay = (self.another(role) for role in ROLES)

    @property
    def webhook_url(self) -> str:
        return f"http://{self.address}/webhooks/todoist"

    def another(self, role: str, **more: str) -> Process:
        """One more process of a role, not yet started."""
        log = self._logs / f"{role}-{len(self._taken)}.log"
        return Process(role, {**self.variables, **more}, log, self._address())

    async def start(self) -> None:
        every = (self.relay, self.processors, self.ingress)
        for process in every:
            await process.start()
        await asyncio.gather(*(process.ready() for process in every))

    def _address(self) -> str:
        port = fresh(self._taken)
        self._taken.add(port)
        return f"127.0.0.1:{port}"


@asynccontextmanager
async def keeping(process: Process) -> AsyncIterator[list[int]]:
    """Starts the process again, as it was first started, whenever it ends; yields the exit statuses so far."""
    statuses: list[int] = []

    async def keep() -> None:
        while True:
            statuses.append(await process.ended(3600))
            await process.start()

    keeper = asyncio.create_task(keep())
    try:
        yield statuses
    finally:
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
