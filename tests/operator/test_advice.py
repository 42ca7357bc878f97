"""Every error that a run can leave behind leads to a step that somebody can take."""

import pytest

from deploy.operator.advice import OTHERWISE, STEPS, about


@pytest.mark.parametrize(
    ("error", "step"),
    [
        ("Todoist answered 401: the access was revoked or has expired", "connect the account again"),
        ("Todoist answered 403: the access was revoked or has expired", "connect the account again"),
        ("Google Calendar answered 401: authError", "connect the account again"),
        ("Google Calendar answered 403: insufficientPermissions", "connect the account again"),
        ("Todoist answered 429: too many calls", "nothing: it waits as the provider asks"),
        ("Google Calendar answered 403: rateLimitExceeded", "nothing: it waits as the provider asks"),
        ("Google Calendar answered 404; what lists it is asked", "the list it stands in"),
        ("Google Calendar answered 403: accessNotConfigured", "enable the provider's API"),
        ("Google Calendar answered 401: push.webhookUrlNotHttps", "LIFEOS_PUBLIC_URL"),
        ("Google Calendar announces nothing of this calendar", "read every 15 minutes"),
        ("this version asks for no such subscription", "deploy the version"),
        ("Todoist answered 503", "status page"),
        ("Todoist answered 418", "our request is wrong for them"),
        ("Todoist could not be asked: ConnectTimeout", "can be reached"),
        ("Todoist's answer is not JSON", "something between us and them"),
        ("Todoist's answer is not what its documents promise: sync_token is missing", "something between us and them"),
        ("Todoist's answer is larger than 67108864 bytes", "something between us and them"),
        ("Todoist answered 400 to a position it gave, again after starting over", "report it to them"),
        ("the credentials cannot be opened: sealed under a key that is not in LIFEOS_VAULT_KEYS", "LIFEOS_VAULT_KEYS"),
        ("a subscription expired, and nothing made another", "which makes another"),
        ("a subscription failed", "which asks for another"),
        ("KeyError in our own code", "a bug"),
        ("LockNotAvailableError in the database", "lifeos doctor"),
    ],
)
def test_an_error_leads_to_its_step(error: str, step: str) -> None:
    told = about(error)
    assert told is not None
    assert step in told
    assert told != OTHERWISE


def test_what_is_not_known_still_leads_somewhere_and_no_error_nowhere() -> None:
    assert about("something new") == OTHERWISE
    assert about(None) is None


def test_no_row_stands_behind_one_that_hides_it() -> None:
    """Each cause, met in its plainest words, is answered by its own row."""
    words = {cause: cause.split("|")[0] for cause, _ in STEPS}
    plain = {
        cause: said.replace(r"\d\d", "00").replace(r"\d{3}", "409").replace("[34]", "4")
        for cause, said in words.items()
    }
    assert {cause: about(said) for cause, said in plain.items()} == dict(STEPS)
