"""``python -m resnet_lightning info``: what there is here, for a question or before a long run."""

import os
import shutil
from pathlib import Path

from resnet_lightning.command import run_command
from resnet_lightning.config import ConfigError, conf_folder, default_root

USAGE = """\
usage: python -m resnet_lightning info

Prints versions, devices and what they compute in, the extras that are installed, the data sets found, the free disk,
and the folder of the settings. Changes nothing.
"""
EXTRAS = {
    "export": "onnx onnxscript onnxruntime safetensors",
    "explain": "captum",
    "benchmark": "kornia",
    "wandb": "wandb",
    "mlflow": "mlflow",
    "slurm": "submitit",
    "ray": "ray",
}


def main(argv: list[str]) -> int:
    return run_command(work, argv, lambda: USAGE)


def work(argv: list[str]) -> int:
    if argv:
        raise ConfigError(f"info takes no settings, but got {argv[0]}.")
    for title, lines in (
        ("versions", versions()),
        ("devices", devices()),
        ("data", data_found()),
        ("disk", [free_disk(Path.cwd())]),
        ("extras", extras()),
        ("settings", [str(conf_folder())]),
    ):
        print("\n".join(f"{title if number == 0 else '':<10}{line}" for number, line in enumerate(lines)))
    return 0


def versions() -> list[str]:
    from resnet_lightning import hardware

    return [f"{name} {version}" for name, version in hardware.versions().items() if version]


def devices() -> list[str]:
    """Each device, and the precision that ``precision=auto`` comes to there."""
    import torch

    from resnet_lightning import hardware

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    lines = [f"cpu {hardware.cpu_name()}, {cores} cores, precision auto = {hardware.pick_precision('auto', 'cpu')}"]
    count = torch.cuda.device_count()
    if count and not hardware.cuda_is_available():
        lines.append(f"{count} GPU(s) that torch {torch.__version__} cannot use; nvidia-smi shows the driver's CUDA")
        count = 0
    for number in range(count):
        facts = torch.cuda.get_device_properties(number)
        precision = hardware.pick_precision("auto", "cuda", [number])
        lines.append(f"cuda:{number} {facts.name}, {facts.total_memory / 2**30:.0f} GiB, precision auto = {precision}")
    if torch.backends.mps.is_available():
        lines.append(f"mps, precision auto = {hardware.pick_precision('auto', 'mps')}")
    try:
        chosen = hardware.pick_accelerator("auto")
    except ConfigError as error:
        chosen = str(error)
    return [*lines, f"accelerator auto = {chosen}"]


def data_found() -> list[str]:
    """Data sets whose files or cache are in the default ``data.root``; MNIST travels with the package."""
    root = default_root()
    places = {
        "fashion_mnist": "FashionMNIST/raw",
        "cifar10": "cifar-10-batches-py",
        "cifar100": "cifar-100-python",
    }
    caches = root / "resnet_lightning_cache"
    found = ["mnist"]
    for name, place in places.items():
        has_files = any(path.is_file() for path in (root / place).glob("*"))
        if has_files or any(caches.glob(f"{name}_*/manifest.json")):
            found.append(name)
    missing = [name for name in places if name not in found]
    lines = [f"{', '.join(found)} (data.root={root})"]
    return [*lines, f"not yet downloaded: {', '.join(missing)}"] if missing else lines


def free_disk(folder: Path) -> str:
    usage = shutil.disk_usage(folder)
    return f"{usage.free / 2**30:,.1f} of {usage.total / 2**30:,.1f} GiB free in {folder}"


def extras() -> list[str]:
    """The optional packages, by the name of their extra."""
    from importlib.util import find_spec

    lines = []
    for extra, packages in EXTRAS.items():
        missing = [package for package in packages.split() if find_spec(package) is None]
        lines.append(f"{extra}: {'installed' if not missing else 'without ' + ', '.join(missing)}")
    return lines
