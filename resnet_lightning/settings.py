"""From composed settings to those of a run: resolved, checked, and with what they left open filled in."""

from typing import cast

from omegaconf import DictConfig, OmegaConf

from resnet_lightning.checks import check
from resnet_lightning.config import Config, ConfigError, ModelConfig, StemConfig, conf_folder

SMALL_IMAGE = 64  # pixels: up to here stem=auto keeps the size of the image


def read_config(settings: DictConfig) -> Config:
    """Resolve and check composed settings.

    Raises:
        ConfigError: on the first setting that cannot be.
    """
    for key in sorted(OmegaConf.missing_keys(settings)):  # the file of a model or a data set of one's own
        group = key.partition(".")[0]
        raise ConfigError(f"{key} is missing: a file in conf/{group} begins with `defaults: [_base]` or has all keys.")
    config = cast(Config, OmegaConf.to_object(settings))
    fill_stem(config.stem, config.data.image_size, config.activation)
    check(config)
    config.model.name = model_name(config.model)
    return config


def fill_stem(stem: StemConfig, image_size: int, activation: str) -> None:
    """Fill what ``stem=auto`` left open: the preset that belongs to the size of the images."""
    preset = "cifar" if image_size <= SMALL_IMAGE else "imagenet"
    values = cast(DictConfig, OmegaConf.load(conf_folder() / "stem" / f"{preset}.yaml"))
    if stem.padding is None and stem.kernel_size is not None:
        stem.padding = stem.kernel_size // 2
    for key in ("kernel_size", "stride", "padding", "max_pool"):
        if getattr(stem, key) is None:
            setattr(stem, key, values[key])
    stem.activation = stem.activation or activation


def model_name(model: ModelConfig) -> str:
    """``resnet10``; where depths, widths or block are not those of its file ``resnet10-w16.32.64``."""
    path = conf_folder() / "model" / f"{model.name}.yaml"
    if not path.exists():
        return model.name
    preset = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(preset, dict)
    changes = [
        f"{key[0]}{'.'.join(map(str, now))}"
        for key, now in (("depths", model.depths), ("widths", model.widths))
        if now != preset.get(key, now)  # a file of one's own may leave it to another
    ]
    return "-".join([model.name, *([model.block] if model.block != preset.get("block", model.block) else []), *changes])
