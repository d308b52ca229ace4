"""A kernel of a test's own, whatever other kernels start at the same time."""

import sys
from uuid import uuid4

from nbclient import NotebookClient


def client(notebook, **settings) -> NotebookClient:
    """Runs a notebook; its kernel is reached as `mamlkit.book.headless` reaches one."""
    made = NotebookClient(notebook, timeout=600, kernel_name="python3", **settings)
    manager = made.create_kernel_manager()
    if sys.platform == "linux":
        manager.transport, manager.ip = "ipc", f"@{uuid4().hex}"
    return made
