"""The settings of a run: their types, from which Hydra refuses a wrong one, and what makes two runs the same.

Defaults and meanings are in ``conf/``, the checks of values in ``checks.py``; ``settings.py`` fills in what
they leave open.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore

GROUPS = ("model", "stem", "data", "augment", "optimizer", "scheduler")  # folders of conf/ to choose from
CHOICES = (*GROUPS, "experiment")  # an experiment chooses from the others


class ConfigError(ValueError):
    """A setting that cannot be; the message is one sentence for the user."""


class DataError(RuntimeError):
    """Data that is missing or damaged; the message says what, where it comes from and what to do."""


class DeviceLost(RuntimeError):
    """The device that a job was given is no longer there."""


# Environment variables of the job of a sweep: how messages call the GPUs that it was given; the hash of its settings as
# they were when the sweep was checked. Of a further process of a run: the number of its first one.
SLOT, PLANNED, FIRST = "RESNET_LIGHTNING_SLOT", "RESNET_LIGHTNING_PLANNED", "RESNET_LIGHTNING_FIRST"


class DeviceMissing(ConfigError):
    """The settings ask for a kind of device that this machine does not have."""


@dataclass
class ModelConfig:
    name: str
    block: str
    depths: list[int]
    widths: list[int]
    init: str
    norm_after_block: bool
    zero_init_residual: bool


@dataclass
class StemConfig:
    kernel_size: int | None
    stride: int | None
    padding: int | None
    max_pool: bool | None
    activation: str | None


@dataclass
class DataConfig:
    name: str
    root: str
    image_size: int
    mean: list[float] | None
    std: list[float] | None
    val_size: float
    val_seed: int
    train_limit: int | None
    test_limit: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.root, str) and self.root.split("/")[0] == "~":  # no shell does it behind data.root=
            self.root = str(Path(self.root).expanduser())


@dataclass
class ColorJitterConfig:
    brightness: float
    contrast: float
    saturation: float
    hue: float


@dataclass
class AugmentConfig:
    normalize: bool
    horizontal_flip: float
    random_crop: int
    random_resized_crop: float
    rotation: float
    color_jitter: ColorJitterConfig
    grayscale: float
    random_erasing: float


@dataclass
class LauncherConfig:
    devices: Any
    jobs_per_device: int
    threads_per_job: int | None
    job_timeout: float | None
    retries: int


@dataclass
class Config:
    model: ModelConfig
    stem: StemConfig
    data: DataConfig
    augment: AugmentConfig
    optimizer: dict[str, Any]
    scheduler: dict[str, Any]
    activation: str
    dropout: float
    lr: float
    batch: int
    epochs: int
    weight_decay: float
    label_smoothing: float
    ema: float
    tta: str
    gradient_clip: float
    batchnorm: str
    scale: float
    epochs_scale: float
    seed: int
    accelerator: str
    devices: Any
    precision: str
    threads: int | None
    compile: bool
    eval_batch: int
    eval_train: str
    logger: Any
    name: str | None
    traced: bool
    log_every: int
    log_style: str
    launcher: LauncherConfig
    reference: str | None
    dry_run: bool


ConfigStore.instance().store(name="schema", node=Config)


def default_root() -> Path:
    """Of data sets, where ``data.root`` is not set."""
    return Path(os.environ.get("RESNET_LIGHTNING_DATA", "data")).expanduser()


def conf_folder() -> Path:
    """``conf/`` inside an installed package, or beside the package in a checkout."""
    inside = Path(__file__).parent / "conf"
    return inside if inside.is_dir() else Path(__file__).parents[1] / "conf"


def value_of(config: Config, key: str) -> Any:
    """``value_of(config, "data.image_size")``; ``model.widths.0`` is the first number of a list."""
    value: Any = config
    for part in key.split("."):
        if isinstance(value, list):
            value = value[int(part)]
        else:
            value = value[part] if isinstance(value, dict) else getattr(value, part)
    return value


def trained_epochs(config: Config) -> int:
    """How many epochs a run trains: ``epochs``, or the share of them that ``epochs_scale`` says."""
    return max(1, round(config.epochs * config.epochs_scale))


def device_count(devices: Any) -> int | None:
    """How many devices a run asks for; None where that is left to the machine (``auto``)."""
    if devices == "auto":
        return None
    return len(devices) if isinstance(devices, list) else int(devices)


def logger_names(logger: Any) -> list[str]:
    """``logger=wandb`` and ``logger=[tensorboard,wandb]`` as a list."""
    return [str(name) for name in (logger if isinstance(logger, list) else [logger])]


# Settings that say where and how a run happens, not what it computes; two runs that differ in these only are the same.
# (The number of threads changes the last bits; the record of a run names it.)
PLACE = ("name", "logger", "data.root", "threads", "launcher", "reference", "dry_run", "log_every", "log_style")


# Data sets that hold the same images wherever they are read, by their checksums. Others hold what is in their root.
PUBLISHED = ("mnist", "fashion_mnist", "cifar10", "cifar100")


def images_of(data: dict[str, Any]) -> tuple[str, str, int]:
    """Which images a run is on, from the settings of its data; what a user's folder holds may change."""
    return data["name"], normal("data.root", data["root"]), data["image_size"]


def key_of(override: str) -> str:
    """``lr`` of ``+lr=0.1``."""
    return override.lstrip("+~").partition("=")[0]


def is_place(key: str, data: object) -> bool:
    """Whether a setting says where or how a run happens; the root of a user's own images says what they are."""
    return (key in PLACE or key.partition(".")[0] in PLACE) and (key != "data.root" or data in PUBLISHED)


# Settings that there were not at first, each with the value at which a run computes what it did without them. They are
# no part of its identity: a sweep that an older version started goes on with this one.
ADDED: dict[str, Any] = {
    "batchnorm": "running",
    "data.test_limit": None,
    "ema": 0.0,
    "epochs_scale": 1.0,
    "eval_train": "none",
    "model.init": "he",
    "scale": 1.0,
    "traced": False,
    "tta": "none",
}


def plain_settings(config: Config) -> dict[str, Any]:
    """The settings as they are written to and read from JSON."""
    settings: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    return settings


def identity(settings: dict[str, Any]) -> dict[str, Any]:
    """``{"data.image_size": 28, ...}``: what a run computes, from its plain settings."""
    flat: dict[str, Any] = {}
    data = settings["data"].get("name") if isinstance(settings.get("data"), dict) else None

    def walk(part: dict[str, Any], prefix: str) -> None:
        for key, value in part.items():
            name = f"{prefix}{key}"
            if is_place(name, data):
                continue
            if isinstance(value, dict):
                walk(value, f"{name}.")
            else:
                flat[name] = normal(name, value)

    walk(settings, "")
    return {name: value for name, value in flat.items() if name not in ADDED or value != ADDED[name]}


def normal(key: str, value: Any) -> Any:
    """A setting as all runs have it that compute the same."""
    if key == "devices" and isinstance(value, list):  # which GPUs they are is a place
        return len(value)
    if key == "data.root" and isinstance(value, str):  # a folder of images, however it is written
        return os.path.normpath(value)
    return value


def config_hash(settings: dict[str, Any]) -> str:
    """Eight hexadecimal digits that are the same for two runs that compute the same."""
    text = json.dumps(identity(settings), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def differing_keys(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """``["lr: 0.1 / 0.01", ...]``: where two plain settings do not compute the same."""
    left, right = identity(a), identity(b)
    keys = sorted(key for key in left.keys() | right.keys() if left.get(key) != right.get(key))
    return [f"{key}: {left.get(key)} / {right.get(key)}" for key in keys]
