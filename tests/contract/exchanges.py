"""Captured exchanges: `headers.json` beside the exact bytes of `body`. A signed body is never retyped."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ingress.provider import Request, Spec

CAPTURED = Path(__file__).parent.parent / "captured"


@dataclass(frozen=True, slots=True)
class Exchange:
    name: str
    headers: Mapping[str, str]
    body: bytes

    def request(self, spec: Spec) -> Request:
        """The request as the door hands it to a provider."""
        fields: dict[bytes, Sequence[bytes]] = {
            name.lower().encode(): [value.encode()]
            for name, value in self.headers.items()
            if name.lower().encode() in spec.headers
        }
        return Request(fields, self.body)


def captured(provider: str) -> list[Exchange]:
    return [
        Exchange(folder.name, json.loads((folder / "headers.json").read_text()), (folder / "body").read_bytes())
        for folder in sorted((CAPTURED / provider).iterdir())
        if folder.is_dir()
    ]
