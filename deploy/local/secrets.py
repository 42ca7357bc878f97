"""Development secrets, made once per state directory; production brings its own."""

import base64
import secrets
from pathlib import Path

from deploy.local import environment


def ring() -> str:
    """A key ring of one key: kid 1 and 32 random bytes."""
    return f"1:{base64.b64encode(secrets.token_bytes(32)).decode()}"


def development(path: Path) -> dict[str, str]:
    """The secrets in `path`, where those that are missing are made and written down first (mode 0600)."""
    kept = environment.read(path)
    rings = ("LIFEOS_CHANNEL_KEYS", "LIFEOS_TRANSPORT_KEYS", "LIFEOS_VAULT_KEYS")
    words = ("LIFEOS_TODOIST_CLIENT_ID", "LIFEOS_TODOIST_CLIENT_SECRETS")
    made = {name: ring() for name in rings} | {name: secrets.token_hex(16) for name in words}
    complete = made | kept
    if complete != kept:
        environment.write(path, complete)
    return complete
