"""What a call to a provider's API needs beside its arguments."""

from dataclasses import dataclass, field
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Access:
    """Where a provider's API is (no trailing slash) and the bearer token of one connection. The repr hides the token."""

    base_url: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Channel:
    """A subscription of ours as a provider is told of it: the id of its row, the secret to echo, where to push to."""

    id: UUID
    token: str = field(repr=False)
    address: str
