"""Processes and memory of the MLflow server as deploy/mlflow.service runs it, and with MLflow's own settings.

    python -m benchmarks.server

Printed on a virtual machine with 2 cores, busy with other work (which memory does not depend on), mlflow 3.17.2, over
PostgreSQL 18, with basic-auth:

    n = 3 starts, 2 cores; processes, MB (PSS): median (range)
    mlflow.service   2 processes    445 (443 to 445)
    MLflow's own    15 processes   2474 (2470 to 2476)
"""

import os
import statistics
import time

from mlflow import MlflowClient
from mlflow.entities import Metric

from tests.team import MlflowServer, Team

ROUNDS, POINTS = 3, 1000
SECONDS_TO_SETTLE = 15  # until all processes are there
MEGABYTE = 1e6


def use(server: MlflowServer, user: dict[str, str]) -> None:
    """What a training asks of it: a run with points and a file."""
    os.environ.update(user)
    client = MlflowClient()
    run = client.create_run(client.search_experiments()[0].experiment_id)
    client.log_batch(run.info.run_id, [Metric("loss", 1 / (1 + step), 0, step) for step in range(POINTS)])
    client.log_text(run.info.run_id, "x" * int(MEGABYTE), "file.txt")


def measure(server: MlflowServer, user: dict[str, str]) -> tuple[int, float]:
    """Processes, and the megabytes that they hold together: what they share counts once."""
    server.kill()
    server.start()
    use(server, user)
    time.sleep(SECONDS_TO_SETTLE)
    processes = server.processes()
    return len(processes), sum(process.memory_full_info().pss for process in processes) / MEGABYTE


def main() -> None:
    with Team.start() as team:
        server, user = team.mlflow, team.mlflow.add_user("ada")
        ours = [measure(server, user) for _ in range(ROUNDS)]
        workers = server.command.index("--workers")
        del server.command[workers : workers + 2]
        server.environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "true"
        theirs = [measure(server, user) for _ in range(ROUNDS)]
    print(f"n = {ROUNDS} starts, {os.cpu_count()} cores; processes, MB (PSS): median (range)")
    for name, found in (("mlflow.service", ours), ("MLflow's own", theirs)):
        counts, sizes = zip(*found, strict=True)
        print(f"{name:<15} {statistics.median(counts):2.0f} processes  {statistics.median(sizes):5.0f} "
              f"({min(sizes):.0f} to {max(sizes):.0f})")


if __name__ == "__main__":
    main()
