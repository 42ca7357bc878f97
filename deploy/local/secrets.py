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
    made = {
        "LIFEOS_CHANNEL_KEYS": ring,
        "LIFEOS_TRANSPORT_KEYS": ring,
        "LIFEOS_VAULT_KEYS": ring,
        "LIFEOS_TODOIST_CLIENT_ID": lambda: secrets.token_hex(16),
        "LIFEOS_TODOIST_CLIENT_SECRETS": lambda: secrets.token_hex(16),
    }
    missing = {name: make() for name, make in made.items() if name not in kept}
    if missing:
        environment.write(path, kept | missing)
    return kept | missing
