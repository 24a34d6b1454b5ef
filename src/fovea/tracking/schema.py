"""What a database of MLflow says of its tables. MLflow's client would make them, or change those of an older MLflow."""

import os
from pathlib import Path
from typing import Literal, NamedTuple


class Tables(NamedTuple):
    """`version` is None where there are none yet, `files` the folder of the experiment's files, None without one."""

    version: str | None
    files: str | None


def read_tables(uri: str) -> Tables:
    """Raises whatever SQLAlchemy and the driver of the database do."""
    import sqlalchemy  # comes with MLflow, as does alembic
    from alembic.migration import MigrationContext

    engine = sqlalchemy.create_engine(uri)
    try:
        with engine.connect() as database:
            version = MigrationContext.configure(database).get_current_revision()
            name = {"name": os.environ.get("MLFLOW_EXPERIMENT_NAME") or "fovea"}
            query = sqlalchemy.text("SELECT artifact_location FROM experiments WHERE name = :name")
            return Tables(version, database.execute(query, name).scalar() if version else None)
    finally:
        engine.dispose()


def age(version: str | None) -> Literal["right", "older", "newer"]:
    """Of tables of this version, beside those that the installed MLflow uses. It makes them where there are none."""
    import mlflow
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    known = ScriptDirectory(str(Path(mlflow.__file__).parent / "store/db_migrations"))
    if version is None or version == known.get_current_head():
        return "right"
    try:
        known.get_revision(version)
    except CommandError:
        return "newer"
    return "older"
