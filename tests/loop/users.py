"""Programs of ours as another user, though the interpreter may lie where that user may not look: in root's home."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_LAUNCH = """
import runpy, site, sys
site.addsitedir(sys.argv[1])
del sys.argv[:2]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@functools.cache
def _python() -> int:
    """Python's own folder, open: a process that inherits it reaches what is in it by its number."""
    return os.open(sys.base_prefix, os.O_RDONLY | os.O_DIRECTORY)


def program(user: int | None, module: str, *arguments: object) -> dict[str, Any]:
    """Arguments of subprocess that run a module, without anything of this process's environment but paths.

    Args:
        user: Number of a user, who has nothing of root's; None for this one.
        module: As after `python -m`.
        arguments: Of the module.
    """
    words = [module, *map(str, arguments)]
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    if user is None:
        return {"args": [sys.executable, "-m", *words], "cwd": ROOT, "env": kept | {"HOME": "/nonexistent"}}
    home = f"/proc/self/fd/{_python()}"
    version = ".".join(map(str, sys.version_info[:2]))
    return {
        "args": [f"{home}/bin/python{version}", "-c", _LAUNCH, sysconfig.get_path("purelib"), *words],
        "cwd": ROOT,
        "env": kept | {"HOME": "/nonexistent", "PYTHONHOME": home, "LD_LIBRARY_PATH": f"{home}/lib"},
        "pass_fds": (_python(),),
        "user": user,
        "group": user,
        "extra_groups": (),
    }


def can_be(user: int) -> bool:
    """Whether this is root, and a process of that user can run our programs."""
    if os.getuid() != 0:
        return False
    tried = subprocess.run(**program(user, "sanderling.cli", "fleet", "--help"), capture_output=True, check=False)
    return tried.returncode == 0
