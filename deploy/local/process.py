"""A process of the local stack: dies with its supervisor, has its own log, stops in bounded time."""

import asyncio
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LARGE = 20_000_000  # bytes of a log


class StackError(Exception):
    """What keeps the local stack from running, said to a person: what happened, to what, what to do next."""

    status = 1  # what `lifeos up` exits with


class Refused(StackError):
    """What was asked for cannot be: a wrong setting, or a stack that runs already. Trying again does not help."""

    status = 2


def dying_with_parent(command: Sequence[str], farewell: signal.Signals) -> list[str]:
    """`command`, sent `farewell` by the kernel when its parent dies (Linux; elsewhere it is left as it is).

    The mark is set by the last step before the program itself, because changing user or namespace clears it.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return list(command)
    return [setpriv, "--pdeathsig", farewell.name.removeprefix("SIG"), "--", *command]


def begin(log: Path) -> None:
    """Make room for a log: its folder, and the old one put aside (one is kept) once it has grown large."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LARGE:
        log.replace(log.with_name(f"{log.name}.old"))


def last_lines(log: Path, count: int = 8, since: int = 0) -> list[str]:
    """The last non-empty lines of a log after its byte `since`, read from its last 16 KiB."""
    try:
        with log.open("rb") as file:
            file.seek(max(since, file.seek(0, os.SEEK_END) - 16_384))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []
    return [line for line in lines if line.strip()][-count:]


@dataclass
class Child:
    """One process. `start` may be called again after it ended; `stop` and `kill` return once it is reaped."""

    name: str
    command: Sequence[str]
    log: Path
    variables: Mapping[str, str] | None = None
    farewell: signal.Signals = signal.SIGTERM
    grace: float = 10.0
    directory: Path | None = None
    ended: int | None = field(default=None, init=False)
    _process: asyncio.subprocess.Process | None = field(default=None, init=False)
    _since: int = field(default=0, init=False)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self) -> None:
        begin(self.log)
        with self.log.open("ab") as log:
            self._since = log.tell()
            # Its own session: Ctrl-C at the terminal reaches the supervisor only, which stops in order.
            self._process = await asyncio.create_subprocess_exec(
                *self.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.variables,
                cwd=self.directory,
                start_new_session=True,
            )
        self.ended = None

    async def wait(self) -> int:
        """The exit status; negative is the signal that ended it."""
        assert self._process is not None, f"{self.name} was never started"
        self.ended = await self._process.wait()
        return self.ended

    async def stop(self) -> None:
        """Ask, wait for `grace` seconds, then kill."""
        if self.pid is None:
            return
        self.signal(self.farewell)
        try:
            await asyncio.wait_for(self.wait(), self.grace)
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """SIGKILL, and reaped: what it held (ports, locks) is free when this returns."""
        if self.pid is not None:
            self.signal(signal.SIGKILL)
            await self.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send `number`; a process that has just ended gets nothing."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    def why(self) -> str:
        """How it ended and the last it said since it was started."""
        return f"{self.name} ended with {describe(self.ended)}. {self.last_words()}"

    def last_words(self) -> str:
        said = "".join(f"\n    {line}" for line in last_lines(self.log, since=self._since))
        return f"Last lines of {self.log}:{said or ' none'}"


def describe(status: int | None) -> str:
    if status is None:
        return "no status"
    return f"exit status {status}" if status >= 0 else signal.Signals(-status).name


def alive(pid: int) -> bool:
    """Whether a process with this number lives (a zombie does not); says nothing about whose it is."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


async def end(pid: int, farewell: signal.Signals, grace: float = 10.0) -> None:
    """End a process that is not our child (so it cannot be waited for): ask, then kill, and see it gone."""
    for number, bound in ((farewell, grace), (signal.SIGKILL, 5.0)):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        deadline = asyncio.get_running_loop().time() + bound
        while alive(pid):
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.02)
        else:
            return
    raise StackError(f"process {pid} does not end, not even on SIGKILL: look at it with `ps -fp {pid}`")


async def run(
    command: Sequence[str],
    bound: float = 60.0,
    variables: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> tuple[int, str]:
    """Run a short program; its exit status and all it said."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=variables,
        cwd=directory,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), bound)
    except TimeoutError:
        process.kill()
        await process.wait()
        return -signal.SIGKILL, f"{command[0]} took longer than {bound:.0f} s"
    return process.returncode or 0, said.decode("utf-8", "replace")
