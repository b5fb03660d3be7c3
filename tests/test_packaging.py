"""A wheel carries everything: settings, MNIST, licence; and works from any folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder into which the wheel has been unpacked, as pip does."""
    place = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", place, ROOT]
    subprocess.run(build, check=True)
    (wheel,) = place.glob("*.whl")
    target = place / "site"
    zipfile.ZipFile(wheel).extractall(target)
    return target


def run(installed: Path, place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(installed), "RESNET_LIGHTNING_DATA": str(place / "data")}
    code = "import sys, resnet_lightning.__main__ as m; sys.stderr.write(m.__file__); m.main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_wheel_carries_settings_and_mnist(installed):
    package = installed / "resnet_lightning"
    assert (package / "conf" / "config.yaml").is_file()
    assert len(list((package / "conf" / "model").glob("resnet*.yaml"))) == 11
    assert {path.name for path in (package / "data" / "mnist").iterdir()} >= {
        "README.md", "train-images-idx3-ubyte.xz", "t10k-labels-idx1-ubyte.xz",
    }  # fmt: skip
    assert not list(installed.glob("tests")) and not list(installed.glob("conf"))


def test_installed_package_trains_from_another_folder(installed, tmp_path):
    arguments = [
        "model=resnet10",
        "model.widths=[4,4,4]",
        "data.train_limit=200",
        "data.val_size=100",
        "batch=50",
        "epochs=1",
    ]
    done = run(installed, tmp_path, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert str(installed) in done.stderr
    assert len(list((tmp_path / "outputs").glob("*/result.json"))) == 1
