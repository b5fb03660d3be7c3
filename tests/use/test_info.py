"""``info``, and completion as bash asks for it."""

import os
import shutil
import subprocess
import sys

import pytest
import torch


def test_info_says_what_is_here(command, tmp_path):
    done = command("info")
    assert done.returncode == 0, done.stderr
    for text in (
        f"torch {torch.__version__}",
        f"({torch.backends.cpu.get_cpu_capability()}), ",
        "precision auto = ",
        "mnist",
        "GiB free in",
        "accelerator auto = ",
    ):
        assert text in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_info_takes_nothing(command):
    assert command("info", "lr=1").returncode == 2
    assert "usage: python -m resnet_lightning info" in command("info", "--help").stdout


COMPLETE = """
eval "$(resnet-lightning -sc install=bash)"
COMP_LINE="$1"; COMP_POINT=${#1}; COMP_WORDS=($1); COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
hydra_bash_completion
printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("resnet-lightning stem=", ["stem=auto", "stem=cifar", "stem=imagenet"]),
        ("resnet-lightning lr=0.1 optimizer=ada", ["optimizer=adadelta", "optimizer=adam", "optimizer=adamw"]),
        ("resnet-lightning --multirun data.im", ["data.image_size="]),
        ("resnet-lightning epo", ["epochs=", "epochs_scale="]),
    ],
)
def test_bash_completes(tmp_path, line, offered):
    script = tmp_path / "bin" / "resnet-lightning"
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable}\nfrom resnet_lightning.__main__ import main\nmain()\n")
    script.chmod(0o755)
    package = os.pathsep.join(path for path in sys.path if path)
    environment = os.environ | {"PATH": f"{script.parent}:{os.environ['PATH']}", "PYTHONPATH": package}
    done = subprocess.run(
        ["bash", "-c", COMPLETE, "bash", line],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.split() == offered, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]
