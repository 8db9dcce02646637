"""The variables by which training processes find each other: a sentence where they make no sense."""

from __future__ import annotations

import pytest

from apnt.errors import InputError
from apnt.train.processes import join


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"WORLD_SIZE": "x", "RANK": "0"}, "WORLD_SIZE must be a whole number from 1, got 'x'"),
        ({"WORLD_SIZE": "x"}, "WORLD_SIZE must be a whole number from 1, got 'x'"),
        ({"WORLD_SIZE": "2"}, "RANK must be set where WORLD_SIZE is 2: start with torchrun"),
        ({"WORLD_SIZE": "0", "RANK": "0"}, "WORLD_SIZE must be a whole number from 1, got '0'"),
        ({"WORLD_SIZE": "2", "RANK": ""}, "RANK must be a whole number from 0 and below 2, got ''"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "RANK must be a whole number from 0 and below 2, got '2'"),
        ({"WORLD_SIZE": "2", "RANK": "-1"}, "RANK must be a whole number from 0 and below 2, got '-1'"),
        (
            {"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "x"},
            "LOCAL_RANK must be a whole number",
        ),
        (
            {"WORLD_SIZE": "2", "RANK": "0"},
            "2 processes, which do not find each other",
        ),
    ],
)
def test_variables(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=message), join("cpu"):
        pass


@pytest.mark.parametrize("variables", [{}, {"RANK": "3"}, {"WORLD_SIZE": "1"}])
def test_alone(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name in ("WORLD_SIZE", "RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with join("cpu") as processes:
        assert (processes.rank, processes.world, processes.device.type) == (0, 1, "cpu")
