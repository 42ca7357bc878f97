"""What is wrong with a server outside, in words for whoever runs us. Never a user or a password."""

import os
import re
from typing import Final

from schemas.settings import DatabaseSettings, KafkaSettings

_TYPE: Final = re.compile(r"^(?:\w+Error: )+")
_PYTHON: Final = re.compile(r"(?: from)? (?:\[\(.*\)\]|\(['\"].*\))|^no Kafka broker answered: |^\[Errno -?\d+\] ")
NO_ANSWER: Final = ("TimeoutError", "KafkaTimeoutError", "[Error 7] RequestTimedOutError")
"""What clients say that waited in vain."""
NO_STACK: Final = ". Is the stack running? ./deploy/up starts it."
"""Goes behind a setting that is not set, where a verb would have found it with the stack that runs here."""
MOST: Final = 200
"""Characters of a server's own words."""


def kafka(settings: KafkaSettings) -> str:
    return f"Kafka at {settings.bootstrap}"


def postgresql(settings: DatabaseSettings) -> str:
    return f"PostgreSQL at {settings.database_address}"


def why(error: BaseException) -> str:
    """What an error says, without Python's own words around it; its type's name where it says nothing."""
    if (
        isinstance(error, OSError) and error.errno is not None and error.errno > 0
    ):  # asyncio quotes the address as it stands in Python
        return os.strerror(error.errno)
    said = " ".join(str(error).split())
    said = _TYPE.sub("", _PYTHON.sub("", said))[:MOST]
    said = said or type(error).__name__
    return "timed out" if said in NO_ANSWER else said


def kafka_does_not_answer(settings: KafkaSettings, error: BaseException) -> str:
    protocol = settings.security_protocol
    return (
        f"{kafka(settings)} does not answer: {why(error)} "
        f"(LIFEOS_KAFKA_SECURITY_PROTOCOL is {protocol}: is that what it speaks?)"
    )


def postgresql_does_not_answer(settings: DatabaseSettings, error: BaseException) -> str:
    return f"{postgresql(settings)} does not answer: {why(error)}"


def postgresql_refuses(settings: DatabaseSettings, error: BaseException) -> str:
    return f"{postgresql(settings)} refuses us: {why(error)}"
