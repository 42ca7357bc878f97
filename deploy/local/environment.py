"""Where the local stack keeps its state, and how a verb finds the one that runs here unaided."""

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path

from deploy.local.process import Refused

PROJECT = Path(__file__).resolve().parents[2]


def state_directory(given: Mapping[str, str] = os.environ) -> Path:
    """LIFEOS_STATE_DIR, or `.lifeos` in this clone, so that two clones never meet."""
    return Path(given.get("LIFEOS_STATE_DIR") or PROJECT / ".lifeos").resolve()


def usable(state: Path) -> Path:
    """`state`, made where it is missing, for this user alone. Raises Refused where it cannot be had."""
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        state.chmod(0o700)
    except OSError as error:
        raise unusable(state, error.strerror) from None
    if not os.access(state, os.W_OK | os.X_OK):
        raise unusable(state, "it cannot be written")
    return state


def unusable(state: Path, why: str | None) -> Refused:
    return Refused(f"LIFEOS_STATE_DIR: {state} cannot hold the data of a stack: {why}")


def environment(given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """`given` over what the stack running in the state directory wrote down; `given` alone if none runs."""
    state = state_directory(given)
    return (read(state / "env") if held(state / "lock") else {}) | dict(given)


def held(lock: Path) -> bool:
    """Whether a living supervisor holds `lock`; the kernel drops it with its process, so is never stale."""
    try:
        descriptor = os.open(lock, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def read(path: Path) -> dict[str, str]:
    """The KEY=VALUE lines of a file; an absent file has none."""
    lines = text(path).splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {key: value for key, _, value in pairs}


def text(path: Path) -> str:
    """What a file says; an absent one says nothing."""
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return ""


def write(path: Path, variables: Mapping[str, str]) -> None:
    """Replace `path` by KEY=VALUE lines in one step; only this user may read it, from its first byte on."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.writelines(f"{key}={value}\n" for key, value in variables.items())
    fresh.replace(path)
