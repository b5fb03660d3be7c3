"""The model card beside an exported network: what it is, how good, how it was made, how it is used."""

import shlex
from typing import Any

from resnet_lightning.text import percent
from resnet_lightning.use.calibration import wilson
from resnet_lightning.use.trained import Trained

LICENCES = {
    "mnist": "MNIST by Yann LeCun and Corinna Cortes, CC BY-SA 3.0",
    "fashion_mnist": "Fashion-MNIST by Zalando SE, MIT",
    "cifar10": "CIFAR-10 by Alex Krizhevsky, without a stated licence",
    "cifar100": "CIFAR-100 by Alex Krizhevsky, without a stated licence",
    "folder": "images of whoever trained it",
}
DO_NOT_USE = "do not use the file"
USAGE = {
    "model.onnx": """\
import onnxruntime
session = onnxruntime.InferenceSession("model.onnx")
probabilities = session.run(None, {"images": images})[0]     # images: NumPy uint8 (N, C, H, W)""",
    "model.pt2": """\
import torch
network = torch.export.load("model.pt2").module()
probabilities = network(images)                              # images: torch uint8 (N, C, H, W)""",
    "model.torchscript.pt": """\
import torch                                                 # TorchScript is deprecated: prefer model.pt2
network = torch.jit.load("model.torchscript.pt")
probabilities = network(images)                              # images: torch uint8 (N, C, H, W)""",
    "model.safetensors": """\
from safetensors.torch import load_file                      # architecture and preprocessing: config.json
weights = load_file("model.safetensors")""",
}


def model_card(trained: Trained, checks: dict[str, dict[str, Any]]) -> str:
    """Markdown.

    Args:
        checks: of every exported file the ``epoch`` of its weights and what was ``said`` of its check.
    """
    result, (channels, height, width) = trained.result, trained.image_shape
    data = result.data
    old = f": weights of epoch {{}}, not those above; {DO_NOT_USE}, export it again."
    said = {
        file: f" {check['said']}" if check["epoch"] == result.best_epoch else old.format(check["epoch"] or "unknown")
        for file, check in sorted(checks.items())
    }
    used = [f"```python\n{USAGE[file]}\n```" for file in said if DO_NOT_USE not in said[file]]
    statistics = ", ".join(f"{key} {list(map(float, getattr(trained.augment, key)))}" for key in ("mean", "std"))
    counts = data.get("images", {})
    command = shlex.join(["python", "-m", "resnet_lightning", *result.overrides])
    versions = ", ".join(f"{key} {value}" for key, value in result.versions.items() if value)
    return "\n".join(
        [
            f"# {result.model.get('name', 'ResNet')} on {data['name']}",
            "",
            f"Classifies {'grey' if channels == 1 else 'colour'} images of {height} x {width} pixels into "
            f"{len(trained.classes)} classes: {', '.join(trained.classes)}.",
            "",
            "| | |",
            "|---|---|",
            f"| test accuracy | {accuracy_line(trained)} |",
            f"| network | {result.model.get('stages', '')}; {result.model.get('parameters', 0):,} parameters |",
            f"| trained on | {counts.get('train', 0):,} images of {data['name']}, "
            f"epoch {result.best_epoch} of {result.epochs_done}, best by {result.selection} |",
            f"| input | uint8 (N, {channels}, {height}, {width}), 0 to 255 |",
            f"| preprocessing | pixels scaled to 0..1, then {statistics}; inside the file, but not in safetensors |",
            "| output | probabilities (N, classes), in the order above |",
            *(f"| checked | {file}{text} |" for file, text in said.items()),
            f"| made by | `{command}`, commit {result.git_commit or 'unknown'} |",
            f"| versions | {versions} |",
            f"| licence | code MIT; data: {LICENCES.get(data['name'], 'unknown')}; "
            "the weights: as whoever trained them says |",
            "",
            "It knows these classes only and gives one of them for any image. The accuracy is that on the test images",
            "of its own data; on images of another origin it was not measured.",
            "",
            *used,
            "",
        ]
    )


def accuracy_line(trained: Trained) -> str:
    """``98.79 % of 10,000 (95 % interval ...)``."""
    test = trained.result.test
    if not test:
        return "not measured: the run did not end"
    images = int(test["images"])
    low, high = wilson(round(test["accuracy"] * images), images)
    note = "; the test set selected the epoch, so this is too good" if trained.result.selection == "test" else ""
    if trained.config.tta == "flip":
        note = f"; of the mean over an image and its mirror image, while the file computes the image alone{note}"
    return f"{percent(test['accuracy'])} of {images:,} images (95 % interval {percent(low)} to {percent(high)}){note}"
