"""``python -m resnet_lightning``: one training run, with ``--multirun`` a sweep, with ``info`` what there is here."""

import sys

from resnet_lightning.cli import run_command
from resnet_lightning.text import exit_with


def main() -> None:
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal without Unicode still shows the table
    if sys.argv[1:2] == ["info"]:
        from resnet_lightning import info

        exit_with(info.main(sys.argv[2:]))
    exit_with(run_command(sys.argv[1:]))


if __name__ == "__main__":
    main()
