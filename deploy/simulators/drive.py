"""Drives a running simulator over its `/simulator` paths."""

from typing import Any, Self

import httpx

from deploy.outside import why


class Trouble(Exception):
    """The simulator cannot be reached, or refused. The text says which and what to do."""


class Remote:
    """The simulator of `provider` that runs at `url`. Every method raises `Trouble`. Use as a context manager."""

    def __init__(self, url: str, provider: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=60.0)
        self._url = url
        self._provider = provider

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def accounts(self) -> list[dict[str, Any]]:
        return list(self._call("GET", "/simulator/accounts"))

    def create_account(self, account: str, token: str) -> None:
        self._call("POST", "/simulator/accounts", {"account": account, "token": token})

    def mix(self, account: str, changes: int, seed: int | None) -> dict[str, Any]:
        return dict(self._call("POST", f"/simulator/mix/{account}", {"changes": changes, "seed": seed}))

    def begin_storm(self, account: str, pushes: int, edits: bool, concurrency: int) -> str:
        order = {"pushes": pushes, "edits": edits, "concurrency": concurrency}
        return str(self._call("POST", f"/simulator/storm/{account}", order)["storm"])

    def storm(self, id_: str) -> dict[str, Any]:
        return dict(self._call("GET", f"/simulator/storms/{id_}"))

    def faults(self) -> dict[str, Any]:
        return dict(self._call("GET", "/simulator/faults"))

    def set_faults(self, faults: dict[str, Any]) -> dict[str, Any]:
        return dict(self._call("PUT", "/simulator/faults", faults))

    def books(self, account: str, parts: str) -> dict[str, Any]:
        return dict(self._call("GET", f"/simulator/books/{account}?parts={parts}"))

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        try:
            answer = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise Trouble(
                f"no {self._provider} simulator answers at {self._url} ({why(error)}): start one with `lifeos up` or "
                f"`lifeos simulate {self._provider.lower()} serve`, or set LIFEOS_{self._provider.upper()}_URL"
            ) from None
        if answer.is_error:
            raise Trouble(_reason(answer))
        return answer.json() if answer.content else None


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"{answer.url} answered {answer.status_code}: is this a simulator?"
