"""PostgreSQL refuses to run as root; here is how root runs it all the same."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from deploy.local.process import StackError

USER = "lifeos"
HOMES = Path("/var/lib/lifeos")


@dataclass(frozen=True)
class Account:
    """Under what PostgreSQL runs: `prefix` goes before its commands, `home` and `binaries` are in its reach."""

    prefix: tuple[str, ...]
    home: Path
    binaries: Path

    def wrap(self, command: Sequence[str]) -> list[str]:
        return [*self.prefix, *command]


def account(state: Path, binaries: Callable[[], Path]) -> Account:
    """Ourselves; as root, a user namespace in which we are not; where those are off, a system user.

    In a namespace files stay root's and a 0700 directory above them does not matter. A system user needs a home
    and binaries that it can reach, so it gets both below /var/lib/lifeos.
    """
    if os.geteuid() != 0:
        return Account((), state, binaries())
    namespace = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
    if works(*namespace):
        return Account(namespace, state, binaries())
    return system_user(state, binaries())


def works(*prefix: str) -> bool:
    """Whether a command may be run in this way here."""
    if shutil.which(prefix[0]) is None:
        return False
    return subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0


def known(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def system_user(state: Path, binaries: Path) -> Account:
    """The user `lifeos` (made if missing), a home of its own per state directory, and a copy of the server."""
    prefix = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")
    if not known(USER):
        subprocess.run(["useradd", "--system", "--user-group", "--no-create-home", USER], check=False)
    if not works(*prefix):
        raise StackError(
            "PostgreSQL does not run as root, and neither a user namespace nor a system user can be had here: "
            "start this as an ordinary user, or set LIFEOS_DATABASE_URL"
        )
    home = HOMES / sha256(bytes(state)).hexdigest()[:12]
    HOMES.mkdir(parents=True, exist_ok=True)
    HOMES.chmod(0o755)  # whatever the umask: the user passes through here
    home.mkdir(mode=0o700, exist_ok=True)
    shutil.chown(home, USER, USER)
    return Account(prefix, home, copied(binaries))


def copied(binaries: Path) -> Path:
    """Where the user can reach the server: its folder, and the libraries it looks for beside its package."""
    package = binaries.parents[1]
    copy = HOMES / f"{package.name}.{sha256(bytes(package)).hexdigest()[:12]}"
    if not copy.exists():
        fresh = copy.with_name(f"{copy.name}.{os.getpid()}")
        for source in (binaries.parent, package.with_name(f"{package.name}.libs")):
            shutil.copytree(source, fresh / source.relative_to(package.parent), symlinks=True)
        fresh.rename(copy)
    return copy / binaries.relative_to(package.parent)
