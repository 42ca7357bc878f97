"""Drives a running Google simulator."""

from typing import Any

from deploy.simulators.drive import Remote, Trouble


class GoogleRemote(Remote):
    def __init__(self, url: str) -> None:
        super().__init__(url, "Google")

    def mutate(self, account: str, do: str, **change: Any) -> dict[str, Any]:
        """The event, calendar or list entry that the change leaves; empty where it leaves none."""
        result = self._call("POST", f"/simulator/mutate/{account}", {"do": do, **change})
        if "error" in result:
            error = result["error"]
            raise Trouble(f"{error['message']} ({error['code']} {error['errors'][0]['reason']})")
        return dict(result["entity"] or {})

    def expire(self, account: str, tokens: str, resource: str | None, status: int) -> None:
        self._call("POST", f"/simulator/expire/{account}", {"tokens": tokens, "resource": resource, "status": status})

    def pages(self, size: int | None) -> None:
        self._call("PUT", "/simulator/pages", {"size": size})

    def access(self, account: str, calendar: str, role: str | None, watchable: bool | None) -> None:
        self._call("PUT", f"/simulator/access/{account}", {"calendar": calendar, "role": role, "watchable": watchable})
