"""What the simulators read from the environment."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from schemas.settings import Address, Listen, Secrets, Url, _Settings, load

WEBHOOK_PATH = "/webhooks/todoist"


class SimulatorSettings(_Settings):
    """A simulator is a development thing, so LIFEOS_ENV need not say so."""

    env: Literal["development", "production"] = Field("development", alias="LIFEOS_ENV")
    listen: Address = Field(Listen(host="127.0.0.1", port=8787), alias="LIFEOS_SIMULATOR_LISTEN")
    public_url: Url | None = Field(None, alias="LIFEOS_PUBLIC_URL")
    todoist_client_secrets: Secrets = Field(alias="LIFEOS_TODOIST_CLIENT_SECRETS")

    @property
    def webhook_url(self) -> str | None:
        return self.public_url + WEBHOOK_PATH if self.public_url else None

    @property
    def todoist_client_secret(self) -> str:
        """The one that signs: the first."""
        return self.todoist_client_secrets[0].get_secret_value()


class DriveSettings(_Settings):
    """What the verbs that drive a running simulator need: where it is."""

    env: Literal["development", "production"] = Field("development", alias="LIFEOS_ENV")
    todoist_url: Url = Field(alias="LIFEOS_TODOIST_URL")


def simulator_settings(environ: Mapping[str, str]) -> SimulatorSettings:
    """Raises `BadSettings`."""
    return load(SimulatorSettings, environ)


def drive_settings(environ: Mapping[str, str]) -> DriveSettings:
    """Raises `BadSettings`."""
    return load(DriveSettings, environ)
