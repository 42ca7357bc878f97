"""What to do about what went wrong: a literal table from causes, as they stand in `last_error`, to next steps. Pure."""

import re
from typing import Final

CONNECT_AGAIN: Final = "the person has to connect the account again; here: lifeos connections add"
NOTHING: Final = "nothing: it is tried again with growing pauses, at most 15 min apart"

STEPS: Final[tuple[tuple[str, str], ...]] = (
    (
        r"credentials cannot be opened",
        "put the key they are sealed under back into LIFEOS_VAULT_KEYS, or connect again",
    ),
    (r"accessNotConfigured|SERVICE_DISABLED", "enable the provider's API for our app, in the provider's console"),
    (r"webhookUrl", "LIFEOS_PUBLIC_URL has to be https, at a domain that the provider knows as ours"),
    (r"no such subscription", "deploy the version that asks for it; the schema's may be newer"),
    (r"answered 429|too many calls|LimitExceeded|quotaExceeded|RATE_LIMIT", "nothing: it waits as the provider asks"),
    (r"answered 401|revoked|insufficientPermissions|SCOPE_INSUFFICIENT|authError", CONNECT_AGAIN),
    (r"again after starting over", "if it stays: the provider refuses every position it gives; report it to them"),
    (r"what lists it is asked", "nothing: the list it stands in is read again, and closes it if it is gone"),
    (r"answered 5\d\d", f"{NOTHING}; if it stays, see the provider's status page"),
    (r"answered \d{3}", f"{NOTHING}; if it stays, our request is wrong for them: see the log of lifeos processors"),
    (r"could not be asked", "see whether the provider can be reached from where lifeos processors runs"),
    (r"not JSON|not what its documents|larger than", f"{NOTHING}; if it stays, something between us and them answers"),
    (r"announces nothing", "nothing: it is read every 15 minutes instead"),
    (r"subscription expired", "connect the account again, which makes another; here: lifeos connections add"),
    (r"subscription failed", "connect the account again, which asks for another; here: lifeos connections add"),
    (r"in the database", f"{NOTHING}; if it stays, PostgreSQL is too slow: lifeos doctor"),
    (r"in our own code", "a bug: the log of lifeos processors has it, under `run failed`"),
)
OTHERWISE: Final = f"{NOTHING}; if it stays, see the log of lifeos processors"


def about(error: str | None) -> str | None:
    """The next step after an error; None after none. The first row whose cause is in it."""
    if error is None:
        return None
    return next((step for cause, step in STEPS if re.search(cause, error)), OTHERWISE)
