"""Settings: read from the environment once, validated into one frozen model per process.

Every variable may be given as `<NAME>_FILE` instead, naming a file that holds the value. A mistake is one line that names
the variable. Secrets are `SecretStr` or `KeyRing`, whose repr shows nothing.
"""

import re
import ssl
from base64 import b64decode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeVar
from urllib.parse import parse_qs, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)


class BadSettings(ValueError):
    """One setting is wrong. The text is one line that names the variable and what it should be."""


class NotSet(BadSettings):
    """A setting that is needed is not there at all."""


class KeyRing:
    """Symmetric keys by id (0–255): the first one signs and seals, all of them check and open."""

    __slots__ = ("_keys", "first")

    def __init__(self, keys: dict[int, bytes]) -> None:
        self._keys = keys
        self.first = next(iter(keys))

    def __getitem__(self, kid: int) -> bytes:
        return self._keys[kid]

    def __contains__(self, kid: int) -> bool:
        return kid in self._keys

    def __repr__(self) -> str:
        return f"KeyRing(kids={list(self._keys)})"

    @classmethod
    def parse(cls, text: object) -> "KeyRing":
        """`kid:base64[,kid:base64…]`, each key 32 bytes. Raises ValueError that never quotes the key."""
        if isinstance(text, KeyRing):
            return text
        keys: dict[int, bytes] = {}
        for part in str(text).split(","):
            kid, colon, encoded = part.strip().partition(":")
            if not colon or not re.fullmatch(r"[0-9]{1,3}", kid) or int(kid) > 255:
                raise ValueError("must be kid:base64[,kid:base64…] with kids from 0 to 255")
            if int(kid) in keys:
                raise ValueError(f"names key {kid} twice")
            try:
                key = b64decode(encoded, validate=True)
            except ValueError:  # binascii.Error, or a character beyond ASCII
                raise ValueError(f"key {kid} is not base64") from None
            if len(key) != 32:
                raise ValueError(f"key {kid} is {len(key)} bytes long, not 32")
            keys[int(kid)] = key
        return cls(keys)


LAST_PORT: Final = 65535


def _listen(text: object) -> object:
    if not isinstance(text, str):
        return text
    host, _, port = text.rpartition(":")
    if not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > LAST_PORT:
        raise ValueError("must be host:port")
    return Listen(host=host.strip("[]"), port=int(port))


def _secrets(text: object) -> object:
    if not isinstance(text, str):
        return text
    secrets = tuple(SecretStr(part.strip()) for part in text.split(","))
    if not all(secret.get_secret_value() for secret in secrets):
        raise ValueError("holds an empty secret")
    return secrets


_SERVER = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:,\[\]]+):([0-9]{1,5})", re.ASCII)
_DATABASE_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]*)(?::([0-9]{1,5}))?", re.ASCII)
_URL = re.compile(r"https?://(?:\[[0-9A-Fa-f:.]+\]|[^\s/?#:\[\]]+)(?::([0-9]{1,5}))?(?:/[^\s?#]*)?", re.ASCII)
_PREFIX = re.compile(r"[A-Za-z0-9._-]{0,40}")


def _fits(form: re.Pattern[str], text: str) -> bool:
    """Whether the whole text has this form, whose only group is a port."""
    found = form.fullmatch(text)
    return found is not None and int(found[1] or 0) <= LAST_PORT


def _servers(text: str) -> str:
    if not all(_fits(_SERVER, part.strip()) for part in text.split(",")):
        raise ValueError("must be host:port[,host:port…]")
    return text


def _database_url(url: SecretStr) -> SecretStr:
    """A password with a bare `/` or `@` would be taken for part of the address, and quoted in errors."""
    try:
        parts = urlsplit(url.get_secret_value())
    except ValueError:
        parts = urlsplit("")
    hosts = parts.netloc.rpartition("@")[2].split(",")
    known = parts.scheme in ("postgresql", "postgres") and "@" not in parts.path
    if not known or not all(_fits(_DATABASE_HOST, host) for host in hosts):
        raise ValueError("must be postgresql://user:password@host:port/database, reserved characters percent-encoded")
    return url


def _url(text: str) -> str:
    if not _fits(_URL, text):
        raise ValueError("must be http(s)://host[:port][/path]")
    return text.rstrip("/")


def _prefix(text: str) -> str:
    if not _PREFIX.fullmatch(text):
        raise ValueError("must be at most 40 letters (a to z), digits, dots, dashes and underscores")
    return text


def _certificates(file: Path) -> Path:
    try:
        ssl.create_default_context(cafile=str(file))
    except OSError as error:  # SSLError is one
        raise ValueError(f"holds no certificates that can be read: {error}") from None
    return file


class Listen(BaseModel):
    """An address to listen on."""

    model_config = ConfigDict(frozen=True)
    host: str
    port: int


Ring = Annotated[KeyRing, BeforeValidator(KeyRing.parse)]
Address = Annotated[Listen, BeforeValidator(_listen)]
Secrets = Annotated[tuple[SecretStr, ...], BeforeValidator(_secrets)]
Url = Annotated[str, AfterValidator(_url)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True)

    env: Literal["development", "production"] = Field(alias="LIFEOS_ENV")

    @property
    def development(self) -> bool:
        return self.env == "development"


S = TypeVar("S", bound=_Settings)


class OpsSettings(_Settings):
    """What every long-running process has: a private address for health and metrics, and where its traces go."""

    ops_listen: Address = Field(alias="LIFEOS_OPS_LISTEN")
    otlp_endpoint: Url | None = Field(None, alias="LIFEOS_OTLP_ENDPOINT")


class KafkaSettings(_Settings):
    bootstrap: Annotated[str, AfterValidator(_servers)] = Field(alias="LIFEOS_KAFKA_BOOTSTRAP")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", alias="LIFEOS_KAFKA_SECURITY_PROTOCOL"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", alias="LIFEOS_KAFKA_SASL_MECHANISM"
    )
    sasl_username: str | None = Field(None, alias="LIFEOS_KAFKA_SASL_USERNAME")
    sasl_password: SecretStr | None = Field(None, alias="LIFEOS_KAFKA_SASL_PASSWORD")
    ca_file: Annotated[Path, AfterValidator(_certificates)] | None = Field(None, alias="LIFEOS_KAFKA_CA_FILE")
    topic_prefix: Annotated[str, AfterValidator(_prefix)] = Field("", alias="LIFEOS_TOPIC_PREFIX")

    @model_validator(mode="after")
    def _sasl_is_whole(self) -> Self:
        if self.security_protocol.startswith("SASL") and not (self.sasl_username and self.sasl_password):
            raise ValueError("LIFEOS_KAFKA_SASL_USERNAME and LIFEOS_KAFKA_SASL_PASSWORD are needed with SASL")
        return self


class DatabaseSettings(_Settings):
    database_url: Annotated[SecretStr, AfterValidator(_database_url)] = Field(alias="LIFEOS_DATABASE_URL")

    @property
    def database_address(self) -> str:
        """`host:port[,host:port…]` of the server, or its socket's directory: never who we are there."""
        parts = urlsplit(self.database_url.get_secret_value())
        if hosts := parts.netloc.rpartition("@")[2]:
            return ",".join(
                host if _SERVER.fullmatch(host) else f"{host.rstrip(':')}:5432" for host in hosts.split(",")
            )
        return parse_qs(parts.query).get("host", ["its local socket"])[0]


class IngressSettings(OpsSettings, KafkaSettings):
    """The public door: no database address, no vault key."""

    listen: Address = Field(alias="LIFEOS_INGRESS_LISTEN")
    channel_keys: Ring | None = Field(None, alias="LIFEOS_CHANNEL_KEYS")
    todoist_client_secrets: Secrets | None = Field(None, alias="LIFEOS_TODOIST_CLIENT_SECRETS")


class ProcessorsSettings(OpsSettings, KafkaSettings, DatabaseSettings):
    vault_keys: Ring = Field(alias="LIFEOS_VAULT_KEYS")
    channel_keys: Ring | None = Field(None, alias="LIFEOS_CHANNEL_KEYS")
    public_url: Url | None = Field(None, alias="LIFEOS_PUBLIC_URL")
    google_url: Url = Field("https://www.googleapis.com", alias="LIFEOS_GOOGLE_URL")
    todoist_url: Url = Field("https://api.todoist.com", alias="LIFEOS_TODOIST_URL")
    safety_poll_seconds: Annotated[float, Field(gt=0, le=30 * 86400)] | None = Field(
        None, alias="LIFEOS_SAFETY_POLL_SECONDS"
    )


class RelaySettings(OpsSettings, KafkaSettings, DatabaseSettings):
    """The relay reads the outbox and writes topics; it opens no secret."""


class MigrateSettings(KafkaSettings, DatabaseSettings):
    """What `lifeos migrate` needs."""


class ConnectSettings(DatabaseSettings):
    """What adding a connection needs."""

    vault_keys: Ring = Field(alias="LIFEOS_VAULT_KEYS")


def load(model: type[S], environ: Mapping[str, str], read: Callable[[Path], str] = Path.read_text) -> S:
    """The settings of one process. Empty variables count as unset. Raises `BadSettings`, `NotSet` for what is missing."""
    values: dict[str, str] = {}
    for field in model.model_fields.values():
        name = str(field.alias)
        if environ.get(name):
            values[name] = environ[name]
        elif path := environ.get(f"{name}_FILE"):
            try:
                values[name] = read(Path(path)).strip()
            except (OSError, UnicodeDecodeError) as error:
                raise BadSettings(f"{name}_FILE: cannot be read: {error}") from None
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _bad(error.errors(include_url=False, include_input=False)[0]) from None


def _bad(error: Any) -> BadSettings:
    name = ".".join(str(part) for part in error["loc"][:1])
    if error["type"] == "missing":
        return NotSet(f"{name} is not set")
    message = str(error["msg"]).removeprefix("Value error, ")
    return BadSettings(f"{name}: {message}" if name else message)
