"""``python -m resnet_lightning.explain RUN image.png``: which parts of an image speak for a class."""

import sys
from dataclasses import dataclass

from resnet_lightning.command import RUN_HELP, Usage, help_text, need, one_run, option, parse, run_command
from resnet_lightning.config import ConfigError
from resnet_lightning.text import exit_with

FORM = "python -m resnet_lightning.explain RUN IMAGE [label=CLASS]"
USAGE = Usage(
    FORM,
    f"""\
Draws one figure: the image as the network sees it; Grad-CAM for the predicted class and, if label= names it, for the
true one; and how much the probability of the class falls when a patch of the image is covered.
{RUN_HELP}""",
    """\
  python -m resnet_lightning.explain latest digit.png
  python -m resnet_lightning.explain latest digit.png label=7 out=seven.png""",
)
NOTES = 'This needs an extra: pip install -e ".[explain]" (captum, 5 MB).'


@dataclass
class ExplainOptions:
    label: str | None = option(None, "the true class of the image, by name; null = unknown")
    out: str | None = option(None, "the figure, a .png; null = RUN/explain/<name of the image>.png")
    invert: str = option(
        "auto", "auto inverts dark-on-light images for MNIST or FashionMNIST", ("auto", "true", "false")
    )


def work(argv: list[str]) -> int:
    options, (places, _) = parse(argv, ExplainOptions)
    run = one_run(places, FORM)
    if len(places) != 2:
        raise ConfigError(f"Which image (exactly one)? The command is {FORM}.")
    need("captum", "explain")
    from resnet_lightning.use.explanation import explain

    print(explain(run, places[1], options))
    return 0


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    return run_command(work, arguments, lambda: help_text(USAGE, ExplainOptions, NOTES))


if __name__ == "__main__":
    exit_with(main())
