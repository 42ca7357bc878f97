"""Java, Maven and Kafka's jars: found, or installed where that is ours to do, or named with the exact command."""

import asyncio
import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

from deploy.local import environment
from deploy.local.process import StackError, last_lines

POM = Path(__file__).with_name("pom.xml")
OLDEST = 17
RUNTIMES = ("openjdk-17-jre-headless", "openjdk-21-jre-headless", "default-jre-headless")
Progress = Callable[[str], None]


def java(bound: float = 20.0) -> Path | None:
    """A Java of version 17 or later: JAVA_HOME, the PATH, then Debian's usual place."""
    return next((found for found in candidates() if version(found, bound) >= OLDEST), None)


def candidates() -> Iterator[Path]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home, "bin", "java")
    if on_path := shutil.which("java"):
        yield Path(on_path)
    yield from sorted(Path("/usr/lib/jvm").glob("*/bin/java"))


def version(program: Path, bound: float) -> int:
    """The major version a `java` says it is; 0 where it says nothing."""
    try:
        said = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=bound, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r'version "(\d+)', said.stderr)
    return int(found[1]) if found else 0


def maven() -> Path | None:
    found = shutil.which("mvn")
    return Path(found) if found else None


async def jars(state: Path, progress: Progress) -> tuple[Path, Path]:
    """The Java to run Kafka with and the folder of its jars, fetched if they are not those of this pom."""
    folder = state / "kafka-libs"
    stamp = folder / f"{sha256(POM.read_bytes()).hexdigest()}.stamp"
    fetched = stamp.exists()
    if java() is None or (not fetched and maven() is None):
        await install(state, progress, with_maven=not fetched)
    program = java()
    if program is None:
        raise StackError(f"Java {OLDEST} or later is still not to be found. {advice()}")
    if not fetched:
        await fetch(program, folder, stamp.name, state / "log" / "maven.log", progress)
    return program, folder


async def fetch(program: Path, folder: Path, stamp: str, log: Path, progress: Progress) -> None:
    """Let Maven copy Kafka's jars into `folder`; checksums must match, and the folder appears whole or not at all."""
    mvn = maven()
    if mvn is None:
        raise StackError(f"Maven is still not to be found. {advice()}")
    fresh = folder.with_name(f"{folder.name}.{os.getpid()}")
    command = [str(mvn), "-B", "-C", "-f", str(POM), *repository(folder.parent)]
    command += ["dependency:copy-dependencies", f"-DoutputDirectory={fresh}"]
    try:
        await logged(command, log, {"JAVA_HOME": str(program.resolve().parents[1])}, tell(progress))
        (fresh / stamp).touch()
        if folder.exists():
            folder.rename(fresh.with_suffix(".old"))
        fresh.rename(folder)
    finally:
        for leftover in (fresh, fresh.with_suffix(".old")):
            shutil.rmtree(leftover, ignore_errors=True)


def tell(progress: Progress) -> Progress:
    """Turns Maven's chatter into one number that grows."""
    count = 0

    def line(said: str) -> None:
        nonlocal count
        if "Downloaded from" in said or said.startswith("[INFO] Copying"):
            count += 1
            progress(f"Apache Kafka 4.1.0 and what it needs: {count} files")

    return line


def repository(state: Path) -> list[str]:
    """Maven's own repository, which follows the passwd home; one of ours where that cannot be written."""
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    usual = home / ".m2"
    writable = os.access(usual if usual.exists() else home, os.W_OK)
    return [] if writable else [f"-Dmaven.repo.local={state / 'maven'}"]


async def install(state: Path, progress: Progress, *, with_maven: bool) -> None:
    """Install what is missing with apt where we are root on Debian or a relative; otherwise say what to run."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        missing = [] if java() else [f"Java {OLDEST} or later"]
        missing += ["Maven"] if with_maven and maven() is None else []
        raise StackError(f"{' and '.join(missing)} cannot be found (PATH, JAVA_HOME). {advice()}")
    log = state / "log" / "apt.log"
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    progress("package lists")
    await logged(["apt-get", "update", "-q"], log, quiet, lambda _: None)
    packages = ["maven"] if with_maven and maven() is None else []
    packages += [] if java() else [available(RUNTIMES)]
    progress(f"{' and '.join(packages)}, by apt-get")
    command = ["apt-get", "install", "-q", "-y", "--no-install-recommends", *packages]
    await logged(command, log, quiet, lambda _: None)


def available(packages: tuple[str, ...]) -> str:
    """The first of `packages` that this release has."""
    for package in packages:
        shown = subprocess.run(["apt-cache", "show", package], capture_output=True, check=False)
        if shown.returncode == 0:
            return package
    return packages[-1]


def advice() -> str:
    """How to get both on this system."""
    if shutil.which("apt-get"):
        return f"Run: sudo apt-get install -y {available(RUNTIMES)} maven"
    if shutil.which("dnf"):
        return "Run: sudo dnf install -y java-21-openjdk-headless maven"
    if shutil.which("brew"):
        return "Run: brew install openjdk@21 maven"
    return "Install a Java 17 (or later) runtime and Apache Maven, or set LIFEOS_KAFKA_BOOTSTRAP"


async def logged(command: list[str], log: Path, variables: dict[str, str], line: Progress) -> None:
    """Run `command` with its words in `log`, each line also given to `line`; a failure shows the last of them."""
    log.parent.mkdir(parents=True, exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | variables,
    )
    assert process.stdout is not None
    try:
        with log.open("ab") as file:
            async for said in process.stdout:
                file.write(said)
                line(said.decode("utf-8", "replace"))
        status = await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    if status != 0:
        said_last = "\n    ".join(last_lines(log, 12))
        raise StackError(f"`{' '.join(command)}` failed. Last lines of {log}:\n    {said_last}")


async def main() -> int:
    """Fetch what Kafka needs here, for those who start it themselves (the tests)."""
    try:
        state = environment.usable(environment.state_directory())
        await jars(state, lambda said: print(f"\r\033[K{said}", end="") if sys.stdout.isatty() else None)
    except StackError as error:
        print(error, file=sys.stderr)
        return error.status
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
