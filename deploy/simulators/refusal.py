"""How a simulated API refuses a call."""

from typing import Any


class Refusal(Exception):
    """The API refuses a call; each provider says so in a form of its own."""

    http_code: int

    def body(self) -> Any:
        """The JSON of the answer."""
        raise NotImplementedError

    def headers(self) -> dict[str, str]:
        return {}
