"""The providers at the door, one pure module each."""

from typing import Final

from ingress.provider import Provider
from ingress.providers import todoist

PROVIDERS: Final[tuple[Provider, ...]] = (todoist,)
