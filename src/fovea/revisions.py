"""Files as they were in an earlier version of the project, whether git or DVC keeps them."""

import dvc.api
from dvc.exceptions import DvcException
from scmrepo.exceptions import SCMError


def read_at(revision: str, path: str) -> bytes:
    """Bytes of `path` at a branch, tag, commit or experiment of DVC.

    Raises LookupError with one line if there is no such revision, or no such file in it.
    """
    try:
        return bytes(dvc.api.read(path, rev=revision, mode="rb"))
    except (DvcException, SCMError, OSError) as error:
        raise LookupError(str(error).splitlines()[0] if str(error) else type(error).__name__) from None
