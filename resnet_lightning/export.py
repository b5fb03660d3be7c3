"""``python -m resnet_lightning.export RUN``: a trained network as a file for other programs, checked and described."""

import sys
from dataclasses import dataclass

from resnet_lightning.command import RUN_HELP, Usage, help_text, need, only_run, option, parse, run_command
from resnet_lightning.text import exit_with

FORM = "python -m resnet_lightning.export RUN [format=onnx]"
USAGE = Usage(
    FORM,
    f"""\
Writes the network into RUN/export/, checks the file against the network on real images, and describes it in a model
card (README.md) beside it.
  onnx, pt2     preprocessing inside: uint8 images (N, C, H, W) of any N in, probabilities (N, classes) out
  safetensors   the weights, and config.json with architecture, classes and preprocessing
  torchscript   as pt2; deprecated by PyTorch, kept because course material asks for it
{RUN_HELP}""",
    """\
  python -m resnet_lightning.export latest
  python -m resnet_lightning.export multirun/lr_batch format=pt2""",
)
NOTES = 'onnx and safetensors need an extra: pip install -e ".[export]".'
NEEDS = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "safetensors": ("safetensors",)}


@dataclass
class ExportOptions:
    format: str = option("onnx", "what is written", ("onnx", "pt2", "torchscript", "safetensors"))


def work(argv: list[str]) -> int:
    options, (places, _) = parse(argv, ExportOptions)
    run = only_run(places, FORM)
    for package in NEEDS.get(options.format, ()):
        need(package, "export")
    from resnet_lightning.use.exporting import export

    return export(run, options.format)


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    return run_command(work, arguments, lambda: help_text(USAGE, ExportOptions, NOTES))


if __name__ == "__main__":
    exit_with(main())
