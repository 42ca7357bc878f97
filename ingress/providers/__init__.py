"""The providers at the door, one pure module each."""

from typing import Final, Never

from ingress.provider import Provider
from ingress.providers import google, todoist

PROVIDERS: Final[tuple[Provider[Never], ...]] = (google, todoist)
