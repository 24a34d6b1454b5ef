"""A real Ray cluster of several nodes on loopback, and a real S3 server, for tests: processes of this one."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from s3fs import S3FileSystem

from fovea.engine import ALONE
from tests.servers import Storage, folder_for_anyone

BUCKET = "pictures"
STORE = 80 << 20  # bytes of results that a node keeps, about the least that Ray takes
SETTINGS = {
    **ALONE,                                   # before Ray is imported
    "RAY_health_check_period_ms": "500",       # a lost node is noticed within seconds
    "RAY_health_check_failure_threshold": "3",
}


@contextmanager
def changed(**settings: str) -> Iterator[None]:
    """The environment with these, also of processes that start inside."""
    before = dict(os.environ)
    os.environ.update(settings)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def s3_server() -> Iterator[Any]:
    """A client of an S3 server with an empty bucket; boto3 and s3fs find it by the environment."""
    with folder_for_anyone() as folder, Storage(folder) as storage:
        settings = {"AWS_ENDPOINT_URL": storage.address, "AWS_DEFAULT_REGION": "us-east-1", **storage.credentials}
        with changed(**settings):
            S3FileSystem.clear_instance_cache()  # one that an earlier test made knows that test's server
            storage.client().create_bucket(Bucket=BUCKET)
            yield storage.client()


class Nodes:
    """A cluster of a head, which stays, and of others, which can be killed; one core each."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        self.others: list[Any] = []

    @classmethod
    @contextmanager
    def start(cls) -> Iterator["Nodes"]:
        folder = tempfile.mkdtemp(prefix="ray")  # its sockets allow no long path
        with changed(**SETTINGS, RAY_TMPDIR=folder):
            from ray.cluster_utils import Cluster

            options = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": STORE,
                       "node_ip_address": "127.0.0.1"}  # fmt: skip
            cluster = Cluster(initialize_head=True, head_node_args=options)
            try:
                with changed(RAY_ADDRESS=cluster.address):
                    nodes = cls(cluster)
                    nodes.complete()
                    yield nodes
            finally:
                cluster.shutdown()
                shutil.rmtree(folder, ignore_errors=True)

    def complete(self, count: int = 2) -> None:
        """See to it that there are `count` others."""
        while len(self.others) < count:
            node = self._cluster.add_node(wait=False, num_cpus=1, object_store_memory=STORE,
                                          node_ip_address="127.0.0.1")
            self.others.append(node)
        self._cluster.wait_for_nodes()

    def kill(self) -> None:
        """End all processes of another node at once, with what they compute and hold."""
        self._cluster.remove_node(self.others.pop(), allow_graceful=False)
