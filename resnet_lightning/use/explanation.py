"""Maps of one image: Grad-CAM (Selvaraju et al. 2016, arXiv:1610.02391) and occlusion (Zeiler and Fergus 2013,
arXiv:1311.2901), both by captum."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from resnet_lightning.checks import choose, require
from resnet_lightning.fonts import ANY_NAME
from resnet_lightning.text import percent
from resnet_lightning.training.figures import save
from resnet_lightning.use.images import read_images
from resnet_lightning.use.trained import Trained, load

if TYPE_CHECKING:
    from resnet_lightning.explain import ExplainOptions  # which imports this module when it has work

PATCHES = 7  # width and height of the covering patch: a seventh of the image


class Explanation(NamedTuple):
    """What speaks for one class.

    Attributes:
        grad_cam: (H, W) from 0 to 1; all 0 where nothing speaks for the class.
        occlusion: (H, W), by how much the probability falls when the patch around a pixel is covered, -1 to 1.
    """

    label: int
    probability: float
    grad_cam: Tensor
    occlusion: Tensor


def explain(run: str | Path, image: str | Path, options: "ExplainOptions") -> str:
    """Draw the explanation of an image file; returns what to print.

    Raises:
        ConfigError: there is no such run or class.
        DataError: the image cannot be read.
    """
    if options.out is not None:
        check_out(Path(options.out), Path(image))
    trained = load(run)
    if options.label is not None:
        choose("label", options.label, trained.classes)
    invert = trained.inverts if options.invert == "auto" else options.invert
    images, (inverted,) = read_images([Path(image)], trained.image_shape, invert)
    probabilities = trained.probabilities(images)[0]
    labels = [int(probabilities.argmax())]
    if options.label is not None and options.label != trained.classes[labels[0]]:
        labels.append(trained.classes.index(options.label))
    found = [explain_class(trained, images, label, float(probabilities[label])) for label in labels]
    path = Path(options.out) if options.out else free_path(trained.folder / "explain", Path(image).stem)
    path.parent.mkdir(parents=True, exist_ok=True)
    with rc_context(ANY_NAME):
        draw(trained, images[0], found, options.label, path)
    lines = [trained.why] if trained.why else []
    lines += [f"{trained.classes[part.label]}  {percent(part.probability)}" for part in found]
    lines += ["The image was dark on light and inverted (invert=false leaves it as it is)."] if inverted else []
    return "\n".join([*lines, str(path)])


def check_out(path: Path, image: Path) -> None:
    """
    Raises:
        ConfigError: the figure would be no .png, or take the place of the image.
    """
    require("out", path, path.suffix.lower() == ".png", "a .png")
    require("out", path, path.resolve() != image.resolve(), "another file than the image itself")


def free_path(folder: Path, stem: str) -> Path:
    """``stem.png``, or ``stem_2.png`` and so on: images of the same name may lie in several folders."""
    names = (f"{stem}.png", *(f"{stem}_{number}.png" for number in range(2, 10_000)))
    return next(folder / name for name in names if not (folder / name).exists())


def explain_class(trained: Trained, images: Tensor, label: int, probability: float) -> Explanation:
    """Both maps of one (1, C, H, W) uint8 image for a class."""
    from captum.attr import LayerGradCam, Occlusion

    network, pixels = trained.network, trained.augment.plain(images)
    size = images.shape[2:]
    last = network.get_submodule(network.stages[-1])
    with torch.enable_grad():
        cam = LayerGradCam(network, last).attribute(pixels, target=label, relu_attributions=True).detach()
    cam = F.interpolate(cam, size=size, mode="bilinear")[0, 0]
    side = max(2, min(size) // PATCHES)
    black = trained.augment.plain(torch.zeros(1, *trained.image_shape, dtype=torch.uint8))[:, :, :1, :1]
    covering = black if trained.inverts == "auto" else torch.zeros_like(black)  # else the mean colour
    with torch.no_grad():
        drop = Occlusion(lambda batch: network(batch).softmax(dim=1)).attribute(
            pixels,
            sliding_window_shapes=(pixels.shape[1], side, side),
            strides=(pixels.shape[1], max(1, side // 2), max(1, side // 2)),
            baselines=covering.expand_as(pixels),
            target=label,
            perturbations_per_eval=64,
        )
    return Explanation(label, probability, cam / cam.max().clamp_min(1e-12), drop[0].mean(dim=0))


def draw(trained: Trained, image: Tensor, found: list[Explanation], truth: str | None, path: Path) -> None:
    """A row for each class: the image, Grad-CAM over it, the fall of the probability over it."""
    pixels = image.permute(1, 2, 0).numpy()
    grey = trained.image_shape[0] == 1
    figure = Figure(figsize=(10, 3.5 * len(found)), layout="constrained")
    cells = figure.subplots(len(found), 3, squeeze=False)
    for row, part in zip(cells, found, strict=True):
        name, kind = trained.classes[part.label], "predicted" if part is found[0] else "true"
        if truth == name and part is found[0]:
            kind = "predicted, and true"
        for cell in row:
            cell.axis("off")
            cell.imshow(pixels, cmap="gray" if grey else None, vmin=0, vmax=255)
        row[0].set_title(f"{name} ({kind})\nprobability {percent(part.probability)}", fontsize=10)
        cam = row[1].imshow(part.grad_cam.numpy(), cmap="inferno", alpha=0.55, vmin=0, vmax=1)
        row[1].set_title(f"Grad-CAM for {name}\nwhat the last stage saw for it", fontsize=10)
        limit = max(float(part.occlusion.abs().max()), 1e-6)
        fall = row[2].imshow(part.occlusion.numpy(), cmap="RdBu_r", alpha=0.7, vmin=-limit, vmax=limit)
        row[2].set_title(f"occlusion for {name}\nfall of its probability when covered", fontsize=10)
        bar(figure, cam, row[1], "share of the largest value")
        bar(figure, fall, row[2], "fall of the probability")
    save(figure, path)


def bar(figure: Figure, picture: Any, cell: Any, label: str) -> None:
    figure.colorbar(picture, ax=cell, shrink=0.75, label=label)
