"""A mistake in the settings is one line that names the variable, and no line ever quotes a secret."""

from base64 import b64encode
from pathlib import Path

import pytest

from schemas.settings import (
    BadSettings,
    ConnectSettings,
    IngressSettings,
    KeyRing,
    Listen,
    MigrateSettings,
    NotSet,
    ProcessorsSettings,
    RelaySettings,
    load,
)

KEY = b64encode(bytes(range(32))).decode()
OTHER = b64encode(bytes(32)).decode()
SECRET = "hunter2hunter2"
DATABASE_URL = "must be postgresql://user:password@host:port/database, reserved characters percent-encoded"
PREFIX = "must be at most 40 letters (a to z), digits, dots, dashes and underscores"
URL = "must be http(s)://host[:port][/path]"
PROCESSORS = {
    "LIFEOS_ENV": "development",
    "LIFEOS_OPS_LISTEN": "127.0.0.1:9102",
    "LIFEOS_KAFKA_BOOTSTRAP": "127.0.0.1:9092",
    "LIFEOS_DATABASE_URL": f"postgresql://lifeos:{SECRET}@127.0.0.1/lifeos",
    "LIFEOS_VAULT_KEYS": f"7:{KEY},3:{OTHER}",
}
INGRESS = {
    "LIFEOS_ENV": "production",
    "LIFEOS_OPS_LISTEN": "127.0.0.1:9101",
    "LIFEOS_KAFKA_BOOTSTRAP": "127.0.0.1:9092",
    "LIFEOS_INGRESS_LISTEN": "[::]:8443",
}


def processors(**changed: str) -> ProcessorsSettings:
    return load(ProcessorsSettings, PROCESSORS | changed)


def refused(**changed: str) -> str:
    with pytest.raises(BadSettings) as error:
        processors(**changed)
    return str(error.value)


def test_what_is_set_is_read_and_the_rest_has_its_default() -> None:
    settings = processors()
    assert settings.development
    assert settings.ops_listen == Listen(host="127.0.0.1", port=9102)
    assert settings.database_url.get_secret_value() == PROCESSORS["LIFEOS_DATABASE_URL"]
    assert (settings.security_protocol, settings.topic_prefix) == ("PLAINTEXT", "")
    assert (settings.todoist_url, settings.safety_poll_seconds) == ("https://api.todoist.com", None)


def test_each_process_has_its_own_and_ignores_what_is_not_its() -> None:
    ingress = load(IngressSettings, PROCESSORS | INGRESS)
    assert ingress.listen == Listen(host="::", port=8443)
    assert not ingress.development
    assert not hasattr(ingress, "database_url")
    for model in (RelaySettings, MigrateSettings, ConnectSettings):
        load(model, PROCESSORS)


def test_a_key_ring_signs_with_the_first_key_and_opens_with_all() -> None:
    ring = processors().vault_keys
    assert (ring.first, ring[7], ring[3]) == (7, bytes(range(32)), bytes(32))
    assert 3 in ring
    assert 4 not in ring


def test_several_client_secrets_may_be_given() -> None:
    settings = load(IngressSettings, INGRESS | {"LIFEOS_TODOIST_CLIENT_SECRETS": "new, old"})
    assert settings.todoist_client_secrets is not None
    assert [secret.get_secret_value() for secret in settings.todoist_client_secrets] == ["new", "old"]


def test_an_empty_variable_is_an_unset_one() -> None:
    assert load(IngressSettings, INGRESS | {"LIFEOS_TODOIST_CLIENT_SECRETS": ""}).todoist_client_secrets is None
    assert refused(LIFEOS_VAULT_KEYS="") == "LIFEOS_VAULT_KEYS is not set"


def test_a_base_address_ends_without_a_slash() -> None:
    assert (
        processors(LIFEOS_TODOIST_URL="http://127.0.0.1:8081/todoist/").todoist_url == "http://127.0.0.1:8081/todoist"
    )


@pytest.mark.parametrize("name", PROCESSORS)
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(NotSet) as error:
        load(ProcessorsSettings, {n: v for n, v in PROCESSORS.items() if n != name})
    assert str(error.value) == f"{name} is not set"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("LIFEOS_ENV", "staging", "Input should be 'development' or 'production'"),
        ("LIFEOS_OPS_LISTEN", "9102", "must be host:port"),
        ("LIFEOS_OPS_LISTEN", ":9102", "must be host:port"),
        ("LIFEOS_OPS_LISTEN", "localhost:http", "must be host:port"),
        ("LIFEOS_OPS_LISTEN", "localhost:65536", "must be host:port"),
        ("LIFEOS_OPS_LISTEN", "localhost:٣", "must be host:port"),
        ("LIFEOS_KAFKA_SECURITY_PROTOCOL", "TLS", "Input should be 'PLAINTEXT', 'SSL', 'SASL_PLAINTEXT' or 'SASL_SSL'"),
        ("LIFEOS_TOPIC_PREFIX", "a/b", PREFIX),
        ("LIFEOS_TOPIC_PREFIX", "a" * 41, PREFIX),
        ("LIFEOS_TOPIC_PREFIX", "a\n", PREFIX),
        ("LIFEOS_TODOIST_URL", "api.todoist.com", URL),
        ("LIFEOS_TODOIST_URL", "https://", URL),
        ("LIFEOS_TODOIST_URL", "https://api.todoist.com:65536", URL),
        ("LIFEOS_TODOIST_URL", "https://api.todoist.com/?token=1", URL),
        ("LIFEOS_SAFETY_POLL_SECONDS", "0", "Input should be greater than 0"),
        ("LIFEOS_SAFETY_POLL_SECONDS", "often", "Input should be a valid number, unable to parse string as a number"),
        ("LIFEOS_SAFETY_POLL_SECONDS", "inf", "Input should be less than or equal to 2592000"),
        ("LIFEOS_KAFKA_BOOTSTRAP", "broker", "must be host:port[,host:port…]"),
        ("LIFEOS_KAFKA_BOOTSTRAP", "broker:9092,", "must be host:port[,host:port…]"),
        ("LIFEOS_KAFKA_BOOTSTRAP", "one:9092,two:65536", "must be host:port[,host:port…]"),
        ("LIFEOS_KAFKA_BOOTSTRAP", "broker:kafka", "must be host:port[,host:port…]"),
        (
            "LIFEOS_KAFKA_CA_FILE",
            "/no/such",
            "holds no certificates that can be read: [Errno 2] No such file or directory",
        ),
        ("LIFEOS_DATABASE_URL", "mysql://host/lifeos", DATABASE_URL),
        ("LIFEOS_DATABASE_URL", SECRET, DATABASE_URL),
        ("LIFEOS_DATABASE_URL", f"postgresql://lifeos:hun/ter2@{SECRET}/lifeos", DATABASE_URL),
        ("LIFEOS_DATABASE_URL", "postgresql://lifeos:17/4@host/lifeos", DATABASE_URL),
        ("LIFEOS_DATABASE_URL", "postgresql://host:port/lifeos", DATABASE_URL),
        ("LIFEOS_DATABASE_URL", "postgresql://[::1/lifeos", DATABASE_URL),
        ("LIFEOS_DATABASE_URL", "postgresql://host:65536/lifeos", DATABASE_URL),
        ("LIFEOS_VAULT_KEYS", KEY, "must be kid:base64[,kid:base64…] with kids from 0 to 255"),
        ("LIFEOS_VAULT_KEYS", f"256:{KEY}", "must be kid:base64[,kid:base64…] with kids from 0 to 255"),
        ("LIFEOS_VAULT_KEYS", f"1:{KEY},1:{OTHER}", "names key 1 twice"),
        ("LIFEOS_VAULT_KEYS", "1:hunter2!", "key 1 is not base64"),
        ("LIFEOS_VAULT_KEYS", f"1:{KEY[:-4]}", "key 1 is 30 bytes long, not 32"),
        ("LIFEOS_VAULT_KEYS", "1:c2hvcnQ=", "key 1 is 5 bytes long, not 32"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_the_variable(name: str, value: str, message: str) -> None:
    assert refused(**{name: value}) == f"{name}: {message}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LIFEOS_KAFKA_BOOTSTRAP", "one:9092,two:9092, [::1]:9093"),
        ("LIFEOS_DATABASE_URL", "postgres://host/lifeos"),
        ("LIFEOS_DATABASE_URL", "postgresql:///lifeos?host=/run/postgresql"),
        ("LIFEOS_DATABASE_URL", f"postgresql://lifeos:{SECRET}%2F%40@one:5432,two:5433,three/lifeos?sslmode=require"),
    ],
)
def test_every_form_that_the_clients_understand_is_accepted(name: str, value: str) -> None:
    processors(**{name: value})


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (f"postgresql://lifeos:{SECRET}@db:5433/lifeos", "db:5433"),
        (f"postgresql://lifeos:{SECRET}@one,three,two:5433/lifeos", "one:5432,three:5432,two:5433"),
        (f"postgresql:///lifeos?user=lifeos&password={SECRET}&host=/run/postgresql", "/run/postgresql"),
        ("postgresql:///lifeos", "its local socket"),
    ],
)
def test_a_database_is_named_by_its_address_alone(url: str, address: str) -> None:
    assert processors(LIFEOS_DATABASE_URL=url).database_address == address


def test_sasl_needs_a_name_and_a_password() -> None:
    line = refused(LIFEOS_KAFKA_SECURITY_PROTOCOL="SASL_SSL", LIFEOS_KAFKA_SASL_USERNAME="lifeos")
    assert line == "LIFEOS_KAFKA_SASL_USERNAME and LIFEOS_KAFKA_SASL_PASSWORD are needed with SASL"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LIFEOS_VAULT_KEYS", f"1:{SECRET}"),
        ("LIFEOS_VAULT_KEYS", SECRET),
        ("LIFEOS_VAULT_KEYS", f"{SECRET}:{KEY}"),
        ("LIFEOS_VAULT_KEYS", f"1:{KEY},1:{KEY}"),
    ],
)
def test_a_wrong_secret_is_not_quoted(name: str, value: str) -> None:
    line = refused(**{name: value})
    assert line.startswith(f"{name}: ")
    assert SECRET not in line
    assert KEY not in line


def test_an_empty_secret_among_several_is_refused_without_quoting_the_others() -> None:
    with pytest.raises(BadSettings) as error:
        load(IngressSettings, INGRESS | {"LIFEOS_TODOIST_CLIENT_SECRETS": f"{SECRET},"})
    assert str(error.value) == "LIFEOS_TODOIST_CLIENT_SECRETS: holds an empty secret"


def test_settings_show_no_secret_when_printed() -> None:
    shown = repr(processors(LIFEOS_KAFKA_SASL_PASSWORD=SECRET))
    assert SECRET not in shown
    assert KEY not in shown
    assert repr(KeyRing({7: bytes(32), 3: bytes(32)})) == "KeyRing(kids=[7, 3])"


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        processors().topic_prefix = "x"


def test_any_of_them_may_stand_in_a_file(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"9:{KEY}\n")
    environ = {n: v for n, v in PROCESSORS.items() if n != "LIFEOS_VAULT_KEYS"}
    assert load(ProcessorsSettings, environ | {"LIFEOS_VAULT_KEYS_FILE": str(keys)}).vault_keys.first == 9


def test_a_wrong_value_in_a_file_names_the_variable_and_is_not_quoted(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(SECRET)
    line = refused(LIFEOS_VAULT_KEYS="", LIFEOS_VAULT_KEYS_FILE=str(keys))
    assert line == "LIFEOS_VAULT_KEYS: must be kid:base64[,kid:base64…] with kids from 0 to 255"


@pytest.mark.parametrize("content", [None, b"\xff\xfe" + SECRET.encode()])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    keys = tmp_path / "keys"
    if content is not None:
        keys.write_bytes(content)
    line = refused(LIFEOS_VAULT_KEYS="", LIFEOS_VAULT_KEYS_FILE=str(keys))
    assert line.startswith("LIFEOS_VAULT_KEYS_FILE: cannot be read: ")
    assert "\n" not in line
    assert SECRET not in line
