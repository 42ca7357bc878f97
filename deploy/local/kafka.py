"""Apache Kafka of the local stack: one KRaft node on jars that Maven fetched, started and watched by us."""

import asyncio
import base64
import os
import secrets
import signal
import struct
from dataclasses import dataclass
from pathlib import Path

from deploy.local import ports
from deploy.local.process import Child, StackError, alive, dying_with_parent, end, last_lines, run

HERE = Path(__file__).parent
READY_WITHIN = 60.0
JVM = ("-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
OWN = """
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.quorum.voters=1@127.0.0.1:{controller}
# Below the directory it is started in: a comma, a backslash or an umlaut in a whole path would be read as something else.
log.dirs=data
"""


@dataclass(frozen=True)
class Runtime:
    """What Kafka runs on: a Java program and the folder of the jars."""

    java: Path
    libs: Path

    def command(self, *arguments: str) -> list[str]:
        return [str(self.java), *arguments]


class Kafka:
    """One broker over one directory. `start` makes, recovers or restarts it, always on the same ports."""

    name = "kafka"

    def __init__(self, state: Path, log: Path, runtime: Runtime) -> None:
        """`state` holds the node's directory, `log` is its log; nothing is touched before `start`."""
        self.state = state
        self.port = 0
        self._runtime = runtime
        self._properties = state / "server.properties"
        self._log = log
        # Java takes the locale's word for how the bytes of a path are to be read.
        utf8 = os.environ | {"LC_ALL": "C.UTF-8"}
        self._child = Child(self.name, (), log.with_suffix(".out"), utf8, directory=state)

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        return self._child.pid

    async def start(self, port: int | None = None) -> None:
        """Bring it up on `port` (by default where it was before) and return when it answers as our cluster."""
        await self.dislodge()
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        chosen = ports.choose(self.state / "ports", ["PORT", "CONTROLLER"])
        self.port = port or self.port or chosen["PORT"]
        base = (HERE / "server.properties").read_text("utf-8")
        own = OWN.format(port=self.port, controller=chosen["CONTROLLER"])
        self._properties.write_text(base + own, "ascii")
        await self._format()
        self._child.command = dying_with_parent(self._command("kafka.Kafka"), signal.SIGTERM)
        await self._child.start()
        (self.state / "pid").write_text(str(self._child.pid), "utf-8")
        await self._answering()

    async def stop(self) -> None:
        await self._child.stop()

    async def kill(self) -> None:
        """SIGKILL, as a crash of the machine would be."""
        await self._child.kill()

    async def wait(self) -> int:
        return await self._child.wait()

    def why(self) -> str:
        said = "".join(f"\n    {line}" for line in last_lines(self._log))
        return f"{self._child.why()}\nLast lines of {self._log}:{said}"

    async def dislodge(self) -> bool:
        """End a broker that a killed supervisor left on this directory; whether there was one.

        A number in a file may by now be anybody's: it is ours if it was started with our server.properties.
        """
        try:
            pid = int((self.state / "pid").read_text("utf-8"))
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return False
        if self._child.pid == pid or not alive(pid) or bytes(self._properties) not in arguments:
            return False
        await end(pid, signal.SIGTERM)
        return True

    def _command(self, *main: str) -> list[str]:
        logging = (f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}", f"-Dlifeos.log={self._log}")
        arguments = (*JVM, *logging, "-cp", f"{self._runtime.libs}/*", *main, str(self._properties))
        return self._runtime.command(*arguments)

    async def _format(self) -> None:
        if (self.state / "data" / "meta.properties").exists():
            return
        identity = self._identity()
        command = self._command("kafka.tools.StorageTool", "format", "-t", identity, "-c")
        status, said = await run(command, variables=self._child.variables, directory=self.state)
        if status != 0:
            raise StackError(f"Kafka could not format {self.state / 'data'}:\n{said}")

    def _identity(self) -> str:
        """This node's cluster id: 16 random bytes in 22 characters, made once."""
        file = self.state / "cluster.id"
        if not file.exists():
            # A leading dash would read as an option of StorageTool.
            file.write_text("L" + base64.urlsafe_b64encode(secrets.token_bytes(16)).decode()[1:22], "utf-8")
        return file.read_text("utf-8").strip()

    async def _answering(self) -> None:
        """Wait until the broker on our port says that it is our cluster."""
        deadline = asyncio.get_running_loop().time() + READY_WITHIN
        while (identity := await cluster_id("127.0.0.1", self.port)) is None:
            if self._child.pid is None:
                await self._child.wait()
                raise StackError(self.why())
            if asyncio.get_running_loop().time() > deadline:
                raise StackError(f"Kafka does not answer on port {self.port}. {self.why()}")
            await asyncio.sleep(0.05)
        if identity != self._identity():
            raise StackError(f"port {self.port} belongs to another Kafka, cluster {identity}")


async def cluster_id(host: str, port: int, bound: float = 2.0) -> str | None:
    """The cluster id of the broker at this address; None while it is not ready to serve.

    One Metadata request of version 2 in plain bytes, since a client is outbox's to make, and one that polls a
    broker which is still starting would log each try.
    """
    try:
        async with asyncio.timeout(bound):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                # api 3, version 2, correlation 0, no client id, no topics.
                request = struct.pack(">hhihi", 3, 2, 0, -1, 0)
                writer.write(struct.pack(">i", len(request)) + request)
                (size,) = struct.unpack(">i", await reader.readexactly(4))
                return parse_cluster_id(await reader.readexactly(size))
            finally:
                writer.close()
    except (OSError, EOFError, TimeoutError, struct.error, ValueError):
        return None


def parse_cluster_id(answer: bytes) -> str | None:
    """The cluster id in a Metadata response of version 2; None where no broker has registered yet."""
    at = 4  # correlation id

    def integer(width: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from(width, answer, at)
        at += struct.calcsize(width)
        return int(value)

    def string() -> str | None:
        nonlocal at
        length = integer(">h")
        if length < 0:
            return None
        at += length
        return answer[at - length : at].decode("utf-8")

    brokers = integer(">i")
    for _ in range(brokers):
        integer(">i")
        string()
        integer(">i")
        string()
    return string() if brokers else None
