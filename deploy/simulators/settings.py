"""What the simulators read from the environment."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from schemas.settings import Address, Listen, Ring, Secrets, Url, _Settings, load

TODOIST_WEBHOOK: str = "/webhooks/todoist"
GOOGLE_WEBHOOK: str = "/webhooks/google/channel"


class _Simulation(_Settings):
    """A simulator is a development thing, so LIFEOS_ENV need not say so."""

    env: Literal["development", "production"] = Field("development", alias="LIFEOS_ENV")


class TodoistSending(_Simulation):
    """What sending as Todoist does needs."""

    public_url: Url | None = Field(None, alias="LIFEOS_PUBLIC_URL")
    todoist_client_secrets: Secrets = Field(alias="LIFEOS_TODOIST_CLIENT_SECRETS")

    @property
    def webhook_url(self) -> str | None:
        return self.public_url + TODOIST_WEBHOOK if self.public_url else None

    @property
    def todoist_client_secret(self) -> str:
        """The one that signs: the first."""
        return self.todoist_client_secrets[0].get_secret_value()


class TodoistSimulatorSettings(TodoistSending):
    listen: Address = Field(Listen(host="127.0.0.1", port=8787), alias="LIFEOS_TODOIST_SIMULATOR_LISTEN")


class GoogleSending(_Simulation):
    """What sending as Google does needs."""

    public_url: Url | None = Field(None, alias="LIFEOS_PUBLIC_URL")
    channel_keys: Ring = Field(alias="LIFEOS_CHANNEL_KEYS")

    @property
    def webhook_url(self) -> str | None:
        return self.public_url + GOOGLE_WEBHOOK if self.public_url else None


class GoogleSimulatorSettings(_Simulation):
    """Where it pushes is told by whoever opens a channel, and what it echoes, too."""

    listen: Address = Field(Listen(host="127.0.0.1", port=8788), alias="LIFEOS_GOOGLE_SIMULATOR_LISTEN")


class TodoistDriving(_Simulation):
    """Where the simulator runs that is driven."""

    url: Url = Field(alias="LIFEOS_TODOIST_URL")


class GoogleDriving(_Simulation):
    url: Url = Field(alias="LIFEOS_GOOGLE_URL")


def todoist_simulator_settings(environ: Mapping[str, str]) -> TodoistSimulatorSettings:
    """Raises `BadSettings`, as all of these do."""
    return load(TodoistSimulatorSettings, environ)


def google_simulator_settings(environ: Mapping[str, str]) -> GoogleSimulatorSettings:
    return load(GoogleSimulatorSettings, environ)


def todoist_sending(environ: Mapping[str, str]) -> TodoistSending:
    return load(TodoistSending, environ)


def google_sending(environ: Mapping[str, str]) -> GoogleSending:
    return load(GoogleSending, environ)
