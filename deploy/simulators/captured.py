"""Captured exchanges: a folder with `headers.json` and the exact bytes of `body`, or a file that is a body alone."""

import json
import re
import uuid
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.simulators.todoist.pushes import headers
from schemas.identity import channel_token, lane
from schemas.settings import KeyRing

GOOGLE_DEMO: Final = "113774264463038321964"
FOREIGN: Final = ("X-Goog-Resource-ID", "X-Goog-Resource-URI", "X-Goog-Channel-Expiration")
"""What a push says of its channel's resource and end: true of no other channel."""


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


def derived_for_google(captured: Captured, keys: KeyRing, channel: uuid.UUID | None) -> Captured:
    """The same push with a token of our keys, for this channel or else the one that it names. Raises ValueError.

    For a channel that it does not name it goes without what it says of its own (`FOREIGN`). The lane is the one in the
    token it came with, or else that of the demo account.
    """
    known = {name.lower(): value for name, value in captured.headers.items()}
    if channel is None:
        if "x-goog-channel-id" not in known:
            raise ValueError("it names no X-Goog-Channel-ID: give --channel")
        channel = uuid.UUID(known["x-goog-channel-id"])
    token = known.get("x-goog-channel-token", "")
    on = urlsafe_b64decode(token + "=")[1] if re.fullmatch("[A-Za-z0-9_-]{67}", token) else lane("google", GOOGLE_DEMO)
    foreign = FOREIGN if known.get("x-goog-channel-id") != str(channel) else ()
    fresh = {
        "X-Goog-Channel-ID": str(channel),
        "X-Goog-Channel-Token": channel_token(keys, "google", on, channel),
    }
    replaced = {name.lower() for name in (*fresh, *foreign)}
    kept = {name: value for name, value in captured.headers.items() if name.lower() not in replaced}
    return Captured(kept | fresh, captured.body)
