"""Commands as processes of their own that need not import torch again, which takes seconds: forked from one that has.

So the jobs of a sweep are made as well. What is said of the start of a process itself, of signals and of faults is
tested with processes that start from nothing.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing import forkserver
from pathlib import Path

from matplotlib.figure import Figure

from resnet_lightning.sweep.process import PRELOAD, START_METHOD


def run_module(
    module: str,
    *arguments: str,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    pictures: bool = False,
    timeout: float = 300,
) -> subprocess.CompletedProcess[str]:
    """As ``subprocess.run`` of ``python -m module ...`` with its output as text.

    Args:
        module: or the path of a script.
        pictures: whether to draw them, which takes longer than a small run; else the files only are there.
    """
    context = multiprocessing.get_context(START_METHOD)
    if START_METHOD == "forkserver":
        context.set_forkserver_preload(PRELOAD)
    with tempfile.TemporaryDirectory() as place:
        outputs = [str(Path(place) / name) for name in ("stdout", "stderr")]
        process = context.Process(
            target=become,
            args=(module, arguments, str(cwd), dict(os.environ if env is None else env), outputs, pictures),
        )
        process.start()
        process.join(timeout)
        if process.is_alive():
            process.kill()
            raise subprocess.TimeoutExpired([module, *arguments], timeout)
        said = [Path(path).read_text(encoding="utf-8") for path in outputs]
    return subprocess.CompletedProcess([module, *arguments], process.exitcode, *said)


def become(
    module: str, arguments: tuple[str, ...], cwd: str, env: dict[str, str], outputs: list[str], pictures: bool
) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by the fork server
    forkserver._forkserver.__init__()  # a sweep starts its own, with this environment
    if not pictures:
        Figure.savefig = lambda figure, file, **options: file.write(b"a picture")  # type: ignore[method-assign]
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for stream, path in enumerate(outputs, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644), stream)
    sys.argv = [module, *arguments]
    if module.endswith(".py"):
        runpy.run_path(module, run_name="__main__")
    else:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
