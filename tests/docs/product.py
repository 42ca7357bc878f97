"""What exists in the product, told by its own code: verbs, settings, metrics, log messages, tables."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import click
from prometheus_client.metrics import MetricWrapperBase

from deploy.lifeos import main
from deploy.local.environment import PROJECT
from outbox import migrate
from schemas import telemetry
from schemas.settings import _Settings

ROOMS = ("schemas", "outbox", "ingress", "processors", "deploy")
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
VARIABLE = re.compile(r"\bLIFEOS_[A-Z]+(?:_[A-Z]+)*\b")


def verbs() -> dict[str, click.Command]:
    """Every verb by its full name, such as `connections add`; groups too."""
    return dict(_verbs("", main))


def _verbs(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if name:
        yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for verb in command.list_commands(context):
            below = command.get_command(context, verb)
            assert below is not None
            yield from _verbs(f"{name} {verb}".strip(), below)


def options() -> set[str]:
    """Every option of every verb."""
    commands = [main, *verbs().values()]
    return {
        option
        for command in commands
        for parameter in command.get_params(click.Context(command))
        if isinstance(parameter, click.Option)
        for option in (*parameter.opts, *parameter.secondary_opts)
    }


def settings() -> dict[str, Any]:
    """The fields of every settings model, by the variable they are read from."""
    # A simulator forgives what a process does not, so the process' word on a default counts.
    return _fields("deploy.simulators.settings") | _fields("schemas.settings")


def _fields(module: str) -> dict[str, Any]:
    models = [value for value in vars(import_module(module)).values() if isinstance(value, type)]
    settings = [model for model in models if issubclass(model, _Settings)]
    return {str(field.alias): field for model in settings for field in model.model_fields.values()}


def variables() -> set[str]:
    """Every LIFEOS_ variable that stands anywhere in the code."""
    scripts = [PROJECT / "deploy" / "local" / "venv.sh", PROJECT / "deploy" / "env.example"]
    sources = [path for room in ROOMS for path in (PROJECT / room).rglob("*.py")] + scripts
    return {name for path in sources for name in VARIABLE.findall(path.read_text("utf-8"))}


def metrics() -> dict[str, tuple[str, ...]]:
    """The labels of every metric, by its name as exposed."""
    collectors = [value for value in vars(telemetry).values() if isinstance(value, MetricWrapperBase)]
    return {_exposed(collector): tuple(collector._labelnames) for collector in collectors}


def _exposed(collector: MetricWrapperBase) -> str:
    return f"{collector._name}_total" if collector._type == "counter" else str(collector._name)


def log_messages() -> set[str]:
    """The first argument of every call of a module's `log`."""
    found: set[str] = set()
    for room in ROOMS:
        for path in (PROJECT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                match node:
                    case ast.Call(
                        func=ast.Attribute(value=ast.Name(id="log"), attr=level),
                        args=[ast.Constant(value=str() as said), *_],
                    ) if level in LEVELS:
                        found.add(said)
    return found


def tables() -> set[str]:
    """Every table of every migration, and the one that counts them."""
    statements = "\n".join([migrate.CREATE, *(migration.sql for migration in migrate.migrations())])
    return set(re.findall(r"create table (?:if not exists )?(\w+)", statements))
