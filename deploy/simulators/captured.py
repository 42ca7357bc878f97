"""Captured exchanges: a folder with `headers.json` and the exact bytes of `body`, or a file that is a body alone."""

import json
import uuid
from dataclasses import dataclass
from pathlib import Path

from deploy.simulators.todoist.pushes import headers


@dataclass(frozen=True, slots=True)
class Captured:
    """A request as it went over the wire."""

    headers: dict[str, str]
    body: bytes


def read(path: Path) -> Captured:
    """Raises OSError or ValueError with what is wrong."""
    if not path.is_dir():
        return Captured({}, path.read_bytes())
    captured_headers = json.loads((path / "headers.json").read_text("utf-8"))
    if not isinstance(captured_headers, dict):
        raise ValueError(f"{path / 'headers.json'} is not a JSON object of names and values")
    return Captured({str(name): str(value) for name, value in captured_headers.items()}, (path / "body").read_bytes())


def is_json(body: bytes) -> bool:
    """Whether it is what a provider would send. UnicodeDecodeError is a ValueError, too."""
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def write(path: Path, captured: Captured) -> None:
    """Make the folder of an exchange."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "headers.json").write_text(json.dumps(captured.headers, indent=2) + "\n", "utf-8")
    (path / "body").write_bytes(captured.body)


def signed_by_todoist(captured: Captured, secret: str) -> Captured:
    """The same request with a signature of `secret`; what a bare body lacks is added, a fresh delivery id for one."""
    known = {name.lower(): value for name, value in captured.headers.items()}
    delivery_id = known.get("x-todoist-delivery-id") or str(uuid.uuid4())
    fresh = headers(secret, captured.body, delivery_id)
    replaced = {name.lower() for name in fresh}
    kept = {name: value for name, value in captured.headers.items() if name.lower() not in replaced}
    return Captured(kept | fresh, captured.body)
