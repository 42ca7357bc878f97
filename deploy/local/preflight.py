"""What is wrong with what was given, found before anything is fetched or started."""

import errno
import socket
from collections.abc import Mapping

from deploy.local import servers
from deploy.local.process import Refused
from deploy.simulators.settings import GoogleSimulatorSettings, TodoistSimulatorSettings
from schemas.settings import (
    BadSettings,
    ConnectSettings,
    IngressSettings,
    Listen,
    MigrateSettings,
    ProcessorsSettings,
    RelaySettings,
    load,
)

# What the stack chooses or makes later where nobody gives it: of the right shape, and used for nothing else.
LATER = {
    "LIFEOS_ENV": "development",
    "LIFEOS_INGRESS_LISTEN": "127.0.0.1:1",
    "LIFEOS_TODOIST_SIMULATOR_LISTEN": "127.0.0.1:1",
    "LIFEOS_GOOGLE_SIMULATOR_LISTEN": "127.0.0.1:1",
    "LIFEOS_KAFKA_BOOTSTRAP": "127.0.0.1:1",
    "LIFEOS_DATABASE_URL": "postgresql://postgres@127.0.0.1:1/lifeos",
    "LIFEOS_VAULT_KEYS": "1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "LIFEOS_TODOIST_CLIENT_SECRETS": "made",
}


def check(variables: Mapping[str, str]) -> None:
    """Raises Refused with one line that names the variable."""
    later = {name: value for name, value in LATER.items() if not servers.given(name, variables)}
    # Each process gets an ops address of its own, whatever is given.
    supposed = {**variables, **later, "LIFEOS_OPS_LISTEN": "127.0.0.1:1"}
    try:
        ingress = load(IngressSettings, supposed)
        todoist = load(TodoistSimulatorSettings, supposed)
        google = load(GoogleSimulatorSettings, supposed)
        for model in (ProcessorsSettings, RelaySettings, MigrateSettings, ConnectSettings):
            load(model, supposed)
    except BadSettings as error:
        raise Refused(str(error)) from None
    for name in ("LIFEOS_POSTGRES_PORT", "LIFEOS_KAFKA_PORT"):
        servers.number(name, variables)
    for name, address in (
        ("LIFEOS_INGRESS_LISTEN", ingress.listen),
        ("LIFEOS_TODOIST_SIMULATOR_LISTEN", todoist.listen),
        ("LIFEOS_GOOGLE_SIMULATOR_LISTEN", google.listen),
    ):
        if name not in later:
            can_listen(name, address)


def can_listen(name: str, address: Listen) -> None:
    """Raises Refused where no server could listen there now."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address.host, address.port))
            probe.listen()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Refused(f"{name}: port {address.port} is taken by another program; choose one, or unset it") from None
        raise Refused(f"{name}: nothing can listen on {address.host}:{address.port}: {error.strerror}") from None
