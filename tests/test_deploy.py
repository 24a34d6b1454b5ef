"""What deploy/ promises: closed to other machines, no password in a file, and the lines that the tests' servers run."""

import importlib.metadata
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.import_closure import ROOT
from tests.team import DEPLOY, read_unit

COMPOSE = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
SECRET = r"\$\{(\w+):\?[^}]+\}"  # refused by compose where it is unset or empty


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    return dict(yaml.safe_load(COMPOSE)["services"])


def asked_for() -> set[str]:
    """The passwords that team.env.example lists; none has a value there."""
    return set(re.findall(r"(?m)^(\w+)=$", (DEPLOY / "team.env.example").read_text(encoding="utf-8")))


def test_every_port_is_open_to_this_machine_alone(services: dict[str, dict[str, Any]]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == 2 and all(port.startswith("127.0.0.1:") for port in ports)
    assert not any(service.get("network_mode") for service in services.values())
    arguments, _ = read_unit()
    assert arguments[arguments.index("--host") + 1] == "127.0.0.1"


def test_nothing_starts_without_its_passwords(services: dict[str, dict[str, Any]]) -> None:
    assert set(re.findall(SECRET, COMPOSE)) == asked_for()
    assert COMPOSE.count("${") == len(re.findall(SECRET, COMPOSE))


def test_no_password_stands_in_a_file(services: dict[str, dict[str, Any]]) -> None:
    values = {name: value for service in services.values() for name, value in service.get("environment", {}).items()}
    _, settings = read_unit()
    for name, value in (values | settings).items():
        if re.search("PASSWORD|SECRET|KEY", name):
            assert re.fullmatch(SECRET, value), name
    texts = [path.read_text(encoding="utf-8") for path in sorted(DEPLOY.iterdir()) if path.name != ".env"]
    assert not any(re.search(r"://[^\s/]*:[^\s/]*@", text) for text in texts)
    assert "deploy/.env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_compose_and_systemd_run_the_same_line(services: dict[str, dict[str, Any]]) -> None:
    """The one that tests/team.py runs; inside a container all addresses are open, and the port is not published."""
    arguments, settings = read_unit()
    arguments[arguments.index("--host") + 1] = "0.0.0.0"
    assert services["mlflow"]["command"] == ["mlflow", *arguments]
    given = services["mlflow"]["environment"]
    assert given.keys() == settings.keys() | asked_for()
    same = settings.keys() - {"PGHOST", "MLFLOW_S3_ENDPOINT_URL"}
    assert {name: given[name] for name in same} == {name: settings[name] for name in same}


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    text = (DEPLOY / "mlflow.service").read_text(encoding="utf-8").replace("/opt/mlflow/bin/mlflow", sys.executable)
    sections = re.findall(r"(?m)^\[(\w+)\]$", text)
    assert sections == ["Unit", "Service", "Install"]
    assert all(re.match(r"#|\[|[A-Z]\w+=|$", line) for line in text.splitlines())
    if shutil.which("systemd-analyze"):
        (tmp_path / "mlflow.service").write_text(text, encoding="utf-8")
        command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / "mlflow.service")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0 and "mlflow.service:" not in done.stderr, done.stderr


def test_server_and_clients_are_of_one_version() -> None:
    pinned = re.findall(r"(?m)^mlflow\[auth\]==(\S+)$", (DEPLOY / "requirements.txt").read_text(encoding="utf-8"))
    assert pinned == [importlib.metadata.version("mlflow")]
