"""Whether the processes could start with the variables that are here."""

from collections.abc import Mapping
from typing import Final

from deploy.operator.checks.finding import Finding, Ward, bad, ok
from schemas.settings import (
    BadSettings,
    ConnectSettings,
    DatabaseSettings,
    IngressSettings,
    KafkaSettings,
    MigrateSettings,
    NotSet,
    ProcessorsSettings,
    RelaySettings,
    load,
)

PROCESSES: Final[Mapping[str, type[KafkaSettings] | type[DatabaseSettings]]] = {
    "ingress": IngressSettings,
    "processors": ProcessorsSettings,
    "relay": RelaySettings,
    "migrate": MigrateSettings,
    "connections": ConnectSettings,
}


async def settings(ward: Ward) -> Finding:
    """Whether each process could start with the variables that are here."""
    here = {"LIFEOS_OPS_LISTEN": "127.0.0.1:0"} | dict(ward.variables)
    loaded, absent = [], []
    for process, model in PROCESSES.items():
        try:
            load(model, here)
        except NotSet:
            absent.append(process)
        except BadSettings as error:
            return bad(f"{process}: {error}", "correct it; deploy/docs/settings.md has the formats")
        else:
            loaded.append(process)
    rest = f"; not given here: those of {', '.join(absent)}" if absent else ""
    return ok(f"{', '.join(loaded)} could start with what is set{rest}")
