"""What a call to a provider's API needs beside its arguments."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Access:
    """Where a provider's API is (no trailing slash) and the bearer token of one connection. The repr hides the token."""

    base_url: str
    token: str = field(repr=False)
