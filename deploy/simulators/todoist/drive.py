"""Drives a running Todoist simulator."""

from typing import Any

from deploy.simulators.drive import Remote, Trouble


class TodoistRemote(Remote):
    def __init__(self, url: str) -> None:
        super().__init__(url, "Todoist")

    def mutate(self, account: str, type_: str, args: dict[str, Any]) -> dict[str, Any]:
        """The entity that the command made or changed."""
        commands = [{"type": type_, "args": args}]
        result = self._call("POST", f"/simulator/mutate/{account}", {"commands": commands})["results"][0]
        if "error" in result:
            error = result["error"]
            details = ", ".join(f"{name}: {value}" for name, value in error["error_extra"].items())
            raise Trouble(error["error"] + (f" ({details})" if details else ""))
        return dict(result["entity"])

    def expire(self, account: str) -> None:
        self._call("POST", f"/simulator/expire/{account}")
