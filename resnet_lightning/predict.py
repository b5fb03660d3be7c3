"""``python -m resnet_lightning.predict RUN image.png folder/``: the classes that a trained network sees in images."""

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_lightning.checks import ACCELERATORS
from resnet_lightning.command import RUN_HELP, Usage, help_text, one_run, option, parse, run_command
from resnet_lightning.config import ConfigError
from resnet_lightning.text import exit_with

if TYPE_CHECKING:
    from resnet_lightning.use.trained import Trained

FORM = "python -m resnet_lightning.predict RUN IMAGE_OR_FOLDER ... [key=value ...]"
USAGE = Usage(
    FORM,
    f"""\
Prints the most probable classes of each image. Images may have any size and mode that Pillow reads: the first frame is
used, turned upright as EXIF says, with transparent parts white and 16 bits per channel reduced to 8; it is resized,
centre-cropped and normalised like the images that the run was trained on. Folders are searched recursively.
{RUN_HELP}""",
    """\
  python -m resnet_lightning.predict latest photo.jpg
  python -m resnet_lightning.predict multirun/lr_batch scans/ top=1 format=csv > classes.csv""",
)
NOTES = """\
In folders, files that end in png, jpg, jpeg, bmp, gif, tif, tiff, webp, ppm or pgm are read. What cannot be read is
named on stderr and left out; the exit code is then 1."""


@dataclass
class PredictOptions:
    top: int = option(3, "classes shown for each image", least=1)
    format: str = option("table", "what is printed", ("table", "csv", "json"))
    invert: str = option(
        "auto", "auto inverts dark-on-light images for a network of MNIST or FashionMNIST", ("auto", "true", "false")
    )
    accelerator: str = option("auto", "where to compute", ACCELERATORS)


@dataclass(frozen=True)
class Prediction:
    """What the network says of one image: (class, probability), the most probable first."""

    path: Path
    classes: list[tuple[str, float]]
    inverted: bool


def predictions(
    trained: "Trained", files: list[Path], top: int, invert: str, problems: dict[Path, str]
) -> Iterator[Prediction]:
    """Predict in batches; ``problems`` takes a sentence for each unreadable file."""
    from tqdm import tqdm

    from resnet_lightning.use.images import read_images
    from resnet_lightning.use.trained import CHUNK, batches

    hidden = len(files) <= CHUNK or not sys.stderr.isatty()
    with tqdm(total=len(files), unit="image", disable=hidden, leave=False, dynamic_ncols=True) as bar:
        for part in batches(len(files), CHUNK):
            chunk = files[part]
            images, inverted = read_images(chunk, trained.image_shape, invert, problems)
            values, labels = trained.probabilities(images).topk(min(top, len(trained.classes)), dim=1)
            readable = [path for path in chunk if path not in problems]
            for path, row, numbers, was in zip(readable, values.tolist(), labels.tolist(), inverted, strict=True):
                yield Prediction(path, [(trained.classes[n], p) for n, p in zip(numbers, row, strict=True)], was)
            bar.update(len(chunk))


def table(found: list[Prediction]) -> str:
    width = max((len(str(item.path)) for item in found), default=0)
    names = max((len(name) for item in found for name, _ in item.classes), default=0)
    lines = []
    for item in found:
        columns = [f"{name:>{names}} {100 * value:6.2f} %" for name, value in item.classes]
        lines.append(f"{item.path!s:<{width}}  {'   '.join(columns)}{'   inverted' if item.inverted else ''}")
    return "\n".join(lines)


def write_csv(found: list[Prediction], top: int) -> None:
    """A row an image: image, class_1, probability_1, class_2, ..., inverted."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    count = max((len(item.classes) for item in found), default=top)
    head = [f"{column}_{rank}" for rank in range(1, count + 1) for column in ("class", "probability")]
    writer.writerow(["image", *head, "inverted"])
    for item in found:
        cells: list[Any] = [cell for name, value in item.classes for cell in (name, f"{value:.6f}")]
        writer.writerow([item.path, *cells, str(item.inverted).lower()])


def write_json(found: list[Prediction]) -> None:
    rows = [
        {
            "image": str(item.path),
            "inverted": item.inverted,
            "predictions": [{"class": name, "probability": round(value, 6)} for name, value in item.classes],
        }
        for item in found
    ]
    print(json.dumps(rows, indent=1))


def work(argv: list[str]) -> int:
    options, (places, _) = parse(argv, PredictOptions)
    run = one_run(places, FORM)
    if len(places) < 2:
        raise ConfigError(f"Which images? The command is {FORM}.")
    from resnet_lightning.use.images import image_files
    from resnet_lightning.use.trained import load

    problems: dict[Path, str] = {}
    files = image_files(places[1:], problems)
    trained = load(run, options.accelerator)
    if trained.why:
        print(trained.why, file=sys.stderr)
    invert = trained.inverts if options.invert == "auto" else options.invert
    found = list(predictions(trained, files, options.top, invert, problems))
    if options.format == "csv":
        write_csv(found, options.top)
    elif options.format == "json":
        write_json(found)
    elif found:
        print(table(found))
    count = sum(item.inverted for item in found)
    if count and options.invert == "auto":
        images = "image was" if count == 1 else "images were"
        print(f"{count} {images} dark on light and inverted (invert=false leaves them as they are).", file=sys.stderr)
    for sentence in problems.values():
        print(f"Skipped: {sentence}", file=sys.stderr)
    return 1 if problems else 0


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    return run_command(work, arguments, lambda: help_text(USAGE, PredictOptions, NOTES))


if __name__ == "__main__":
    exit_with(main())
