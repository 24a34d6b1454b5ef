"""The servers of a team together: MLflow over PostgreSQL and S3 storage, as real processes on free ports of loopback.

    with Team.start() as team:
        ada = team.mlflow.add_user("ada")  # what her trainings have in their environment

MLflow runs by the command line, settings and permissions of deploy/; only ports and passwords are the test's own.
"""

import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import requests

from tests.import_closure import ROOT
from tests.servers import Database, Server, Storage, folder_for_anyone, free_port

DEPLOY = ROOT / "deploy"


class MlflowServer(Server):
    """`mlflow server` as deploy/mlflow.service runs it. `environment` is what beyond that its process has."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        arguments, settings = read_unit()
        port, self.admin_password = free_port(), secrets.token_hex(12)
        arguments[arguments.index("--port") + 1] = str(port)
        own = {"MLFLOW_AUTH_CONFIG_PATH": str(DEPLOY / "auth.ini"), "MLFLOW_AUTH_ADMIN_PASSWORD": self.admin_password,
               "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(24)}
        self.address = f"http://127.0.0.1:{port}"
        super().__init__([Path(sys.executable).parent / "mlflow", *arguments], port, folder, "mlflow",
                         environment={**settings, **own, **environment})

    def add_user(self, name: str) -> dict[str, str]:
        """The environment of a new user's trainings."""
        user = {"username": name, "password": secrets.token_hex(12)}
        answer = requests.post(f"{self.address}/api/2.0/mlflow/users/create", json=user,
                               auth=("admin", self.admin_password), timeout=60)
        assert answer.ok, answer.text
        return {"MLFLOW_TRACKING_URI": self.address, "MLFLOW_TRACKING_USERNAME": name,
                "MLFLOW_TRACKING_PASSWORD": user["password"]}


class Team(NamedTuple):
    """The three servers of a team."""

    storage: Storage
    database: Database
    mlflow: MlflowServer

    @classmethod
    @contextmanager
    def start(cls) -> Iterator["Team"]:
        with folder_for_anyone() as folder, ExitStack() as running:
            storage = running.enter_context(Storage(folder))
            database = running.enter_context(Database(folder))
            environment = {"PGPORT": str(database.port), "PGPASSWORD": database.password,
                           "MLFLOW_S3_ENDPOINT_URL": storage.address, **storage.credentials}
            yield cls(storage, database, running.enter_context(MlflowServer(folder, environment)))


def read_unit() -> tuple[list[str], dict[str, str]]:
    """Of deploy/mlflow.service: the arguments of the program that it starts, and the settings that it gives it."""
    lines = [line.partition("=")[::2] for line in (DEPLOY / "mlflow.service").read_text("utf-8").splitlines()]
    pairs = [pair.split("=", 1) for name, value in lines if name == "Environment" for pair in value.split()]
    return dict(lines)["ExecStart"].split()[1:], dict(pairs)
