"""The providers that are simulated beside the stack, each unless its real address is given."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from schemas.providers import Provider


@dataclass(frozen=True)
class Simulated:
    """One provider and the demo account that is connected there."""

    provider: Provider
    title: str
    account: str
    token: str

    @property
    def name(self) -> str:
        """Of its process."""
        return f"{self.provider}-simulator"

    @property
    def port(self) -> str:
        """Under which its port is remembered."""
        return f"{self.provider.upper()}_SIMULATOR"

    @property
    def listen(self) -> str:
        """The variable that says where it listens. There is a simulator where it is set."""
        return f"LIFEOS_{self.port}_LISTEN"

    @property
    def url(self) -> str:
        """The variable that says where the provider is."""
        return f"LIFEOS_{self.provider.upper()}_URL"

    @property
    def connecting(self) -> tuple[str, ...]:
        return ("connections", "add", self.provider, "--account", self.account, "--token", self.token)

    def serving(self, state: Path) -> tuple[str, ...]:
        """The verb that runs it, with its state kept beside the stack's."""
        return ("simulate", self.provider, "serve", "--demo", "--state", str(state / f"{self.name}.json"))


SIMULATED: Final = (
    Simulated("todoist", "Todoist", "2671355", "demo"),
    Simulated("google", "Google", "113774264463038321964", "demo-google"),
)
