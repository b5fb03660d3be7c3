"""``python -m resnet_lightning.evaluate RUN``: how good a trained network is, on its own data or on others'."""

import sys
from dataclasses import dataclass

from resnet_lightning.checks import ACCELERATORS, PRECISIONS
from resnet_lightning.command import RUN_HELP, Usage, help_text, only_run, option, parse, run_command
from resnet_lightning.text import exit_with

FORM = "python -m resnet_lightning.evaluate RUN [key=value ...]"
USAGE = Usage(
    FORM,
    f"""\
Loss, accuracy with its 95 % Wilson interval, accuracy of each class, confusion matrix, calibration (ECE of 15 bins,
with a reliability diagram) and the most confident mistakes, printed and written to RUN/evaluation/<what>/.
{RUN_HELP}""",
    """\
  python -m resnet_lightning.evaluate latest
  python -m resnet_lightning.evaluate multirun/lr_batch split=val tta=flip
  python -m resnet_lightning.evaluate latest augment.rotation=30                  how it copes with rotated images
  python -m resnet_lightning.evaluate latest data=folder data.root=my_images      other images of the same classes""",
)
NOTES = """\
data=, data.*, augment= and augment.* work as in training; what you do not set is as the run had it, but augmentation is
off; the normalisation is always that of the run. Classes of other data are matched by name. data=folder reads
<data.root>/test/<class>/*, or <data.root>/<class>/* if there is no test/. Images are used as they are: invert dark
digits on white paper yourself (predict does so for a network trained on MNIST)."""


@dataclass
class EvaluateOptions:
    split: str = option("test", "which images", ("test", "val", "train"))
    tta: str = option(
        "run",
        "flip averages the logits of an image and its mirror image; run = as the run did",
        ("run", "none", "flip"),
    )
    precision: str = option("auto", "auto = that of the run, if the hardware computes in it", PRECISIONS)
    accelerator: str = option("auto", "where to compute", ACCELERATORS)
    batch: int | None = option(None, "images at a time; null = as the run did, at most 500", least=1)


def work(argv: list[str]) -> int:
    options, arguments = parse(argv, EvaluateOptions, groups=("data", "augment"))
    run = only_run(arguments.places, FORM)
    from resnet_lightning.use.evaluation import evaluate

    print(evaluate(run, options, arguments.passed))
    return 0


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    return run_command(work, arguments, lambda: help_text(USAGE, EvaluateOptions, NOTES))


if __name__ == "__main__":
    exit_with(main())
