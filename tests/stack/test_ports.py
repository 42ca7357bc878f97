"""Ports stay the same from start to start, unless somebody else has taken them."""

import socket
from pathlib import Path

import pytest

from deploy.local import environment, ports, servers
from deploy.local.process import StackError


def test_a_second_start_gets_the_same_ports(tmp_path: Path) -> None:
    first = ports.choose(tmp_path / "ports", ["A", "B"])
    assert len(set(first.values())) == 2
    assert ports.choose(tmp_path / "ports", ["A", "B"]) == first


def test_a_port_that_was_taken_meanwhile_is_replaced_and_the_new_one_remembered(tmp_path: Path) -> None:
    remembered = tmp_path / "ports"
    first = ports.choose(remembered, ["A", "B"])
    with socket.create_server(("127.0.0.1", first["A"])):
        second = ports.choose(remembered, ["A", "B"])
    assert second["A"] != first["A"]
    assert second["B"] == first["B"]
    assert environment.read(remembered)["A"] == str(second["A"])


def test_names_asked_for_separately_share_one_memory(tmp_path: Path) -> None:
    remembered = tmp_path / "ports"
    ports.choose(remembered, ["A"])
    ports.choose(remembered, ["B"])
    assert environment.read(remembered).keys() == {"A", "B"}


def test_a_port_of_the_environment_is_used() -> None:
    free = ports.fresh(set())
    assert servers.port("LIFEOS_KAFKA_PORT", {"LIFEOS_KAFKA_PORT": str(free)}) == free
    assert servers.port("LIFEOS_KAFKA_PORT", {}) is None


@pytest.mark.parametrize("wrong", ["0", "65536", "kafka", "-1"])
def test_a_wrong_port_names_its_variable(wrong: str) -> None:
    with pytest.raises(StackError, match="LIFEOS_KAFKA_PORT"):
        servers.port("LIFEOS_KAFKA_PORT", {"LIFEOS_KAFKA_PORT": wrong})


def test_a_port_of_the_environment_that_is_taken_is_an_error_that_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = str(taken.getsockname()[1])
        with pytest.raises(StackError, match=f"LIFEOS_KAFKA_PORT: port {number} is taken"):
            servers.port("LIFEOS_KAFKA_PORT", {"LIFEOS_KAFKA_PORT": number})
