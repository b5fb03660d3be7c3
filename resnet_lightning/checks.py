"""The checks that come before any work: every setting that cannot be is one sentence, with the allowed values and the
nearest match. Nothing heavy is imported: a mistyped key is answered at once.
"""

import difflib
import math
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from resnet_lightning.config import (
    PUBLISHED,
    AugmentConfig,
    Config,
    ConfigError,
    DataConfig,
    LauncherConfig,
    conf_folder,
    device_count,
    logger_names,
    value_of,
)

ACTIVATIONS = ("relu", "leaky_relu", "elu", "gelu", "silu", "mish", "sigmoid", "tanh")
ALGORITHMS = ("SGD", "Adam", "AdamW", "RMSprop", "Adadelta", "ASGD")  # of torch.optim
BLOCKS = ("basic", "bottleneck")
DATA_SETS = (*PUBLISHED, "folder")
CHANNELS = {"mnist": 1, "fashion_mnist": 1, "cifar10": 3, "cifar100": 3}
TRAIN_IMAGES = {"mnist": 60_000, "fashion_mnist": 60_000, "cifar10": 50_000, "cifar100": 50_000}
LOGGERS = ("tensorboard", "wandb", "mlflow", "none")
PRECISIONS = ("auto", "32", "bf16", "16")
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
WORDS = {  # keys that take one of a few words
    "precision": PRECISIONS,
    "accelerator": ACCELERATORS,
    "batchnorm": ("running", "reestimated"),
    "model.init": ("he", "torch"),
    "model.block": BLOCKS,
    "tta": ("none", "flip"),
    "eval_train": ("none", "end", "epoch"),
    "log_style": ("plain", "report"),
}


def nearest(value: object, options: Iterable[str]) -> str:
    """``" Did you mean X?"``, or nothing where no option is near."""
    match = nearest_of(value, options)
    return f" Did you mean {match}?" if match else ""


def nearest_of(value: object, options: Iterable[str]) -> str | None:
    """The option that is spelt most like ``value``; None where none is near."""
    return next(iter(difflib.get_close_matches(str(value), list(options), n=1, cutoff=0.6)), None)


def choose(key: str, value: object, options: Iterable[str]) -> None:
    options = list(options)
    if value not in options:
        raise ConfigError(f"{key}={value} is unknown.{nearest(value, options)} Allowed: {', '.join(options)}.")


def require(key: str, value: object, condition: bool, allowed: str) -> None:
    if not condition:
        raise ConfigError(f"{key}={value} is not possible: it must be {allowed}.")


# key -> (condition, the allowed values in words)
LIMITS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "lr": (lambda v: 0 < v < math.inf, "a number above 0"),
    "batch": (lambda v: v >= 2, "a whole number from 2 (BatchNorm needs two images)"),
    "eval_batch": (lambda v: v >= 1, "a whole number from 1"),
    "epochs": (lambda v: v >= 1, "a whole number from 1"),
    "scale": (lambda v: 0 < v <= 1, "a share of the training images above 0, at most 1"),
    "epochs_scale": (lambda v: 0 < v <= 1, "a share of the epochs above 0, at most 1"),
    "log_every": (lambda v: v >= 0, "a whole number of steps from 0 (0 = none)"),
    "dropout": (lambda v: 0 <= v < 1, "from 0 to below 1"),
    "label_smoothing": (lambda v: 0 <= v < 1, "from 0 to below 1"),
    "ema": (lambda v: 0 <= v < 1, "from 0 to below 1 (0 = no average)"),
    "weight_decay": (lambda v: 0 <= v < math.inf, "a number from 0"),
    "gradient_clip": (lambda v: 0 <= v < math.inf, "a number from 0 (0 = no clipping)"),
    "seed": (lambda v: 0 <= v < 2**32, "a whole number from 0 to 4294967295"),
    "threads": (lambda v: v is None or v >= 1, "a whole number from 1, or null for all cores"),
    "model.depths": (lambda v: v and min(v) >= 1, "a list of whole numbers from 1"),
    "model.widths": (lambda v: v and min(v) >= 1, "a list of whole numbers from 1"),
    "stem.kernel_size": (lambda v: v >= 1 and v % 2 == 1, "an odd number of pixels"),
    "stem.stride": (lambda v: v >= 1, "a whole number from 1"),
    "stem.padding": (lambda v: v >= 0, "a whole number from 0"),
    "data.image_size": (lambda v: 8 <= v <= 1024, "from 8 to 1024 pixels"),
    "data.val_size": (
        lambda v: v == 0 or 0 < v < 1 or (v >= 1 and float(v).is_integer()),
        "0, a share below 1 or a whole number of images",
    ),
    "data.val_seed": (lambda v: 0 <= v < 2**32, "a whole number from 0 to 4294967295"),
    "data.train_limit": (lambda v: v is None or v >= 1, "a whole number from 1, or null for all"),
    "data.test_limit": (lambda v: v is None or v >= 1, "a whole number from 1, or null for all"),
    "augment.horizontal_flip": (lambda v: 0 <= v <= 1, "a probability from 0 to 1"),
    "augment.random_crop": (lambda v: v >= 0, "a whole number of pixels from 0"),
    "augment.random_resized_crop": (lambda v: 0 <= v <= 1, "a share of the area from 0 to 1"),
    "augment.rotation": (lambda v: 0 <= v <= 180, "from 0 to 180 degrees"),
    "augment.color_jitter.brightness": (lambda v: 0 <= v <= 1, "from 0 to 1"),
    "augment.color_jitter.contrast": (lambda v: 0 <= v <= 1, "from 0 to 1"),
    "augment.color_jitter.saturation": (lambda v: 0 <= v <= 1, "from 0 to 1"),
    "augment.color_jitter.hue": (lambda v: 0 <= v <= 0.5, "from 0 to 0.5"),
    "augment.grayscale": (lambda v: 0 <= v <= 1, "a probability from 0 to 1"),
    "augment.random_erasing": (lambda v: 0 <= v <= 1, "a probability from 0 to 1"),
    "launcher.jobs_per_device": (lambda v: v >= 1, "a whole number from 1"),
    "launcher.threads_per_job": (lambda v: v is None or v >= 1, "a whole number from 1, or null"),
    "launcher.job_timeout": (lambda v: v is None or v > 0, "a number of seconds above 0, or null"),
    "launcher.retries": (lambda v: v >= 0, "a whole number from 0"),
}


# in a file, or a dictionary, of one's own too
NEEDED = {"optimizer": ("algorithm", "lr", "weight_decay"), "scheduler": ("name", "warmup")}


def check(config: Config) -> None:
    """Refuse settings that cannot be, before any work.

    Raises:
        ConfigError: with the value, the allowed ones and the nearest match.
    """
    check_keys("optimizer", config.optimizer, extra_allowed=True)
    check_keys("scheduler", config.scheduler, extra_allowed=False)
    check_network(config)
    choose("data.name", config.data.name, DATA_SETS)
    check_augment(config.augment)
    crop, size = config.augment.random_crop, config.data.image_size
    require("augment.random_crop", crop, crop <= size, f"at most data.image_size={size}")
    check_statistics(config.data)
    for name in logger_names(config.logger):
        choose("logger", name, LOGGERS)
    check_name("name", config.name)
    check_name("model.name", config.model.name)
    check_devices(config.devices, config.batch)
    check_launcher(config.launcher)
    check_optimizer(config.optimizer)
    check_scheduler(config.scheduler, config.epochs)
    if config.data.name in TRAIN_IMAGES:
        check_batch(config, TRAIN_IMAGES[config.data.name])


def check_network(config: Config) -> None:
    """Refuse numbers and words that cannot be, and a network that cannot be built.

    A recorded run needs no more to be used: its optimizer, schedule or data set may have been somebody's own, whose
    file is not here.

    Raises:
        ConfigError: as ``check``.
    """
    for key, (condition, allowed) in LIMITS.items():
        value = value_of(config, key)
        require(key, value, bool(condition(value)), allowed)
    choose("activation", config.activation, ACTIVATIONS)
    choose("stem.activation", config.stem.activation, ACTIVATIONS)
    for key, words in WORDS.items():
        choose(key, value_of(config, key), words)
    check_model(config)


def check_keys(group: str, settings: dict[str, Any], extra_allowed: bool) -> None:
    """Compare the keys of an optimizer or a schedule with those of its file."""
    choose(f"{group}.name", settings.get("name"), [path.stem for path in (conf_folder() / group).glob("*.yaml")])
    known = cast(DictConfig, OmegaConf.load(conf_folder() / group / f"{settings['name']}.yaml"))
    check_needed(group, settings, *map(str, known))
    for key in settings:
        if key not in known and not extra_allowed:
            raise ConfigError(f"{group}.{key} is not a setting of {group}={settings['name']}.")


def check_needed(group: str, settings: dict[str, Any], *more: str) -> None:
    for key in (*NEEDED[group], *more):
        if key not in settings:
            raise ConfigError(f"{group}.{key} is missing.")


def check_model(config: Config) -> None:
    depths, widths = config.model.depths, config.model.widths
    if len(depths) != len(widths):
        raise ConfigError(f"model.depths={depths} and model.widths={widths} must name the same number of stages.")
    stem = config.stem
    kernel, padding = stem.kernel_size or 0, stem.padding or 0
    require("stem.padding", padding, padding <= kernel, "at most the kernel size")
    largest = config.data.image_size + 2 * padding
    require("stem.kernel_size", kernel, kernel <= largest, f"at most {largest}, the size of the padded image")


def check_augment(augment: AugmentConfig) -> None:
    if augment.random_crop and augment.random_resized_crop:
        raise ConfigError(
            f"augment.random_crop={augment.random_crop} and augment.random_resized_crop={augment.random_resized_crop} "
            "both choose the crop: set one of them to 0."
        )


def check_statistics(data: DataConfig) -> None:
    if (data.mean is None) != (data.std is None):
        raise ConfigError("data.mean and data.std go together: set both, or neither to have them computed.")
    for key, values in (("data.mean", data.mean), ("data.std", data.std)):
        fits = values is None or (len(values) > 0 and all(map(math.isfinite, values)))
        require(key, values, fits, "null or a number for each channel")
    if data.std is not None:
        require("data.std", data.std, min(data.std) > 0, "above 0 in every channel")
    if data.name in CHANNELS:
        check_channels(data, CHANNELS[data.name])


def check_channels(data: DataConfig, channels: int) -> None:
    """
    Raises:
        ConfigError: mean and standard deviation are given for another number of channels.
    """
    if data.mean is not None and data.std is not None and not len(data.mean) == len(data.std) == channels:
        raise ConfigError(
            f"data.mean={data.mean} and data.std={data.std} must have a number for each channel of the images: "
            f"{channels} of them."
        )


def check_name(key: str, name: str | None) -> None:
    allowed = name is None or (
        0 < len(name) <= 100
        and len(os.fsencode(name)) <= 200  # of the 255 that a file system allows
        and name not in (".", "..")
        and not set(name) & set('/\\:*?"<>|\n\0')
    )
    require(key, name, allowed, 'at most 100 characters (200 bytes) without / \\ : * ? " < > |')


def check_devices(devices: Any, batch: int) -> None:
    is_count = isinstance(devices, int) and not isinstance(devices, bool) and devices >= 1
    is_list = isinstance(devices, list) and devices and all(isinstance(d, int) and d >= 0 for d in devices)
    is_list = is_list and len(set(devices)) == len(devices)
    allowed = "a number of devices from 1, a list of different device numbers such as [0,1], or auto"
    require("devices", devices, bool(is_count or is_list or devices == "auto"), allowed)
    count = device_count(devices)
    if count and batch % count:
        raise ConfigError(f"batch={batch} cannot be divided evenly among {count} devices: use a multiple of {count}.")
    if count and batch // count < 2:
        raise ConfigError(f"batch={batch} leaves each of {count} devices one image: BatchNorm needs two.")


def check_launcher(launcher: LauncherConfig) -> None:
    devices = launcher.devices
    names = isinstance(devices, list) and devices and all(isinstance(d, (int, str)) for d in devices)
    require("launcher.devices", devices, bool(names or devices == "auto"), "auto or a list such as [0,1]")
    if isinstance(devices, list):
        check_different(devices, list(map(str, devices)))


def check_different(devices: list[int | str], names: Sequence[str]) -> None:
    """
    Args:
        names: of the driver, where they are known.

    Raises:
        ConfigError: ``launcher.devices`` names a device twice.
    """
    if len(set(names)) < len(names):
        raise ConfigError(f"launcher.devices={devices} names a device twice; launcher.jobs_per_device shares one.")


def check_optimizer(optimizer: dict[str, Any]) -> None:
    choose("optimizer.algorithm", optimizer["algorithm"], ALGORITHMS)
    if optimizer["algorithm"] != "RMSprop" and "alpha" in optimizer:  # of ASGD, a power
        require("optimizer.alpha", optimizer["alpha"], _is_number(optimizer["alpha"]), "a number")
    for key in ("momentum", "rho") + (("alpha",) if optimizer["algorithm"] == "RMSprop" else ()):
        if key in optimizer:
            share = optimizer[key]
            require(f"optimizer.{key}", share, _is_number(share) and 0 <= share < 1, "from 0 to below 1")
    if "betas" in optimizer:
        betas = optimizer["betas"]
        fits = isinstance(betas, list) and len(betas) == 2 and all(_is_number(b) and 0 <= b < 1 for b in betas)
        require("optimizer.betas", betas, fits, "two numbers from 0 to below 1")
    for key in ("eps", "lambd", "t0"):
        if key in optimizer:
            number = optimizer[key]
            require(f"optimizer.{key}", number, _is_number(number) and number > 0, "a number above 0")


def check_scheduler(scheduler: dict[str, Any], epochs: int) -> None:
    name, warmup = scheduler["name"], scheduler["warmup"]
    require("scheduler.warmup", warmup, _is_number(warmup) and 0 <= warmup < epochs, f"from 0 to below epochs={epochs}")
    if "gamma" in scheduler:
        gamma = scheduler["gamma"]
        require("scheduler.gamma", gamma, _is_number(gamma) and 0 < gamma <= 1, "above 0, at most 1")
    if name == "step":
        size = scheduler["step_size"]
        require("scheduler.step_size", size, _is_number(size) and size > 0, "a number of epochs above 0")
    if name == "multistep":
        stones = scheduler["milestones"]
        fits = isinstance(stones, list) and all(_is_number(s) and s > 0 for s in stones)
        require("scheduler.milestones", stones, fits, "a list of epochs above 0")
    if name == "onecycle":
        for key in ("rise", "start"):
            share = scheduler[key]
            require(f"scheduler.{key}", share, _is_number(share) and 0 < share < 1, "above 0 and below 1")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def held_out(val_size: float, total: int) -> int:
    """How many of ``total`` training images ``data.val_size`` (a number, or a share below 1) holds out."""
    return max(1, round(val_size * total)) if 0 < val_size < 1 else int(val_size)


def scaled_images(scale: float, images: int) -> int:
    """How many training images ``scale`` leaves."""
    return round(scale * images)


def check_batch(config: Config, total: int, processes: int | None = None) -> None:
    """Compare the batch with the images that are left to train on.

    Args:
        total: training images of the data set, before the validation split.
        processes: of the run, which share each batch; None where ``devices=auto`` is no number yet.
    """
    data = config.data
    validation = held_out(data.val_size, total)
    require("data.val_size", data.val_size, validation < total, f"fewer than the {total:,} training images")
    limit, left = data.train_limit, total - validation
    if limit is not None:
        require("data.train_limit", limit, limit <= left, f"at most the {left:,} images outside the validation split")
    images = limit or left
    require("batch", config.batch, config.batch <= images, f"at most the {images:,} training images")
    scaled = scaled_images(config.scale, images)
    processes = processes or device_count(config.devices) or 1
    shared = f"; each of {processes} devices needs two" if processes > 1 else ""
    allowed = f"a larger share: of {images:,} training images it leaves only {scaled}{shared}"
    require("scale", config.scale, scaled >= 2 * processes, allowed)
