"""Exporting a trained network: one writer and one reader for each format, and the check that both give the same."""

import json
import logging
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from resnet_lightning.config import PUBLISHED, Config, DataError, default_root
from resnet_lightning.data import cache
from resnet_lightning.files import atomic_write, write_json
from resnet_lightning.models.resnet import ResNet
from resnet_lightning.presets import defaults, typed
from resnet_lightning.training.traced import write_trace
from resnet_lightning.use.card import DO_NOT_USE, model_card
from resnet_lightning.use.trained import Trained, batches, load

TOLERANCE = 1e-3  # largest difference of a probability in float32
CHECKED = 1000  # test images
CHECKS = "checks.json"
OPSET = 18  # of ONNX: what torch's exporter writes without converting, and every runtime since 2023 reads

Predict = Callable[[Tensor], Tensor]  # (N, C, H, W) uint8 -> (N, classes) probabilities


class Complete(nn.Module):
    """Preprocessing, network and softmax in one: uint8 (N, C, H, W) -> float32 (N, classes) probabilities."""

    scale: Tensor
    shift: Tensor

    def __init__(self, trained: Trained) -> None:
        super().__init__()
        mean, std = torch.tensor(trained.augment.mean), torch.tensor(trained.augment.std)
        self.register_buffer("scale", (1 / (255 * std))[:, None, None])
        self.register_buffer("shift", (-mean / std)[:, None, None])
        self.network = trained.network.to(memory_format=torch.contiguous_format)

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.network(images.float() * self.scale + self.shift)).softmax(dim=1)


class Format(NamedTuple):
    """How a format is written and read back.

    Attributes:
        name: of the file.
        write: makes the file.
        read: gives from the file what maps uint8 images to probabilities.
    """

    name: str
    write: Callable[[Trained, Path], None]
    read: Callable[[Path], Predict]


def example(trained: Trained) -> Tensor:
    return torch.zeros(2, *trained.image_shape, dtype=torch.uint8)  # two: one would be taken for a constant


def write_onnx(trained: Trained, path: Path) -> None:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            Complete(trained).eval(),
            (example(trained),),
            input_names=["images"],
            output_names=["probabilities"],
            dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    for key, value in (("classes", json.dumps(trained.classes)), ("run", trained.result.name)):
        model.metadata_props.add(key=key, value=value)
    with atomic_write(path) as file:
        file.write(model.SerializeToString())


def read_onnx(path: Path) -> Predict:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


def write_pt2(trained: Trained, path: Path) -> None:
    shapes = {"images": {0: torch.export.Dim("batch")}}
    program = torch.export.export(Complete(trained).eval(), (example(trained),), dynamic_shapes=shapes)
    with atomic_write(path) as file:
        torch.export.save(program, file, extra_files={"classes.json": json.dumps(trained.classes)})


def read_pt2(path: Path) -> Predict:
    return cast(Predict, torch.export.load(path).module())


def write_torchscript(trained: Trained, path: Path) -> None:
    write_trace(Complete(trained).eval(), example(trained), path, {"classes.json": json.dumps(trained.classes)})


def read_torchscript(path: Path) -> Predict:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of deprecation: said once, by us
        return cast(Predict, torch.jit.load(path))


def write_safetensors(trained: Trained, path: Path) -> None:
    from safetensors.torch import save

    tensors = {key: value.contiguous() for key, value in trained.network.state_dict().items()}
    with atomic_write(path) as file:
        file.write(save(tensors, metadata={"format": "pt"}))
    description = {
        "classes": trained.classes,
        "image_shape": trained.image_shape,
        "mean": trained.augment.mean,
        "std": trained.augment.std,
        "settings": {key: value for key, value in trained.result.config.items() if key not in ("launcher", "data")},
    }
    write_json(path.with_name("config.json"), description)


def read_safetensors(path: Path) -> Predict:
    """Build the network again from the two files alone."""
    from safetensors.torch import load_file

    description = json.loads(path.with_name("config.json").read_text(encoding="utf-8"))
    config = typed(Config, description["settings"], defaults())
    network = ResNet.from_config(config, description["image_shape"][0], len(description["classes"]))
    network.load_state_dict(load_file(path))
    network.eval().requires_grad_(False)
    mean, std = (torch.tensor(description[key])[:, None, None] for key in ("mean", "std"))
    return lambda images: cast(Tensor, network((images / 255 - mean) / std)).softmax(dim=1)


FORMATS = {
    "onnx": Format("model.onnx", write_onnx, read_onnx),
    "pt2": Format("model.pt2", write_pt2, read_pt2),
    "torchscript": Format("model.torchscript.pt", write_torchscript, read_torchscript),
    "safetensors": Format("model.safetensors", write_safetensors, read_safetensors),
}


def export(run: str | Path, name: str) -> int:
    """Write a run in a format, check it, describe it; returns the exit code: 1 where the file computes something else.

    Raises:
        ConfigError, DataError: the run is not to be had.
    """
    trained = load(run)
    if trained.why:
        print(trained.why)
    if name == "torchscript":
        print("TorchScript is deprecated by PyTorch: new programs should read format=pt2 or onnx.", file=sys.stderr)
    kind, folder = FORMATS[name], trained.folder / "export"
    folder.mkdir(exist_ok=True)
    path = folder / kind.name
    kind.write(trained, path)
    images, source = real_images(trained)
    check = compare(trained, kind.read(path), images)
    known = {"epoch": trained.result.best_epoch, "said": check.sentence(source)}
    checks = note_check(folder / CHECKS, kind.name, known)
    with atomic_write(folder / "README.md", "w", encoding="utf-8") as file:
        file.write(model_card(trained, checks))
    print(f"{path}  {path.stat().st_size / 2**20:.1f} MiB\nchecked {known['said']}\n{folder / 'README.md'}")
    return 0 if check.same else 1


def note_check(path: Path, name: str, check: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Keep what is known of each exported file: the epoch of its weights, and how it compared; returns all of it."""
    try:
        checks: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        checks = {}
    unknown = {"epoch": None, "said": ""}  # of what an older version has exported
    there = [kind.name for kind in FORMATS.values() if path.with_name(kind.name).exists()]
    checks = {file: checks.get(file, unknown) for file in there} | {name: check}
    write_json(path, checks)
    return checks


class Check(NamedTuple):
    """The exported file against the network, both in float32 on the CPU.

    Attributes:
        difference: the largest one of a probability.
        other_class: images of which the two name another class.
    """

    images: int
    difference: float
    other_class: int

    @property
    def same(self) -> bool:
        return self.difference < TOLERANCE

    def sentence(self, source: str) -> str:
        classes = "the same class for all" if not self.other_class else f"another class for {self.other_class}"
        verdict = "" if self.same else f" This is more than {TOLERANCE}: {DO_NOT_USE}."
        numbers = f"{self.images:,} {source}, largest difference of a probability {self.difference:.1e}, {classes}"
        return f"against the network: {numbers} (float32, CPU).{verdict}"


@torch.inference_mode()
def compare(trained: Trained, predict: Predict, images: Tensor) -> Check:
    """Compare on (N, C, H, W) uint8 images, in batches of unequal sizes."""
    expected, size = trained.probabilities(images), min(333, trained.batch)
    found = torch.cat([predict(images[part].contiguous()).detach() for part in batches(len(images), size)])
    difference = float((found - expected).abs().max())
    if not difference < float("inf"):
        difference = float("inf")
    return Check(len(images), difference, int((found.argmax(dim=1) != expected.argmax(dim=1)).sum()))


def real_images(trained: Trained) -> tuple[Tensor, str]:
    """The first test images of the run's data, (N, C, H, W) uint8, where they are at hand without a download; else
    random ones. Published data may be elsewhere by now."""
    data = trained.config.data
    if data.name in PUBLISHED and not Path(data.root).exists():
        data = replace(data, root=str(default_root()))
    if cache.is_at_hand(data):
        try:
            images = cache.load(data).test.images[:CHECKED].contiguous()
            return images, f"{data.name} test images"
        except DataError:  # moved or changed since: what counts is the comparison, not the images
            pass
    generator = torch.Generator().manual_seed(0)
    shape = (CHECKED, *trained.image_shape)
    return torch.randint(256, shape, generator=generator, dtype=torch.uint8), "random images (the data are not at hand)"
