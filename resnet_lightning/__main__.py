"""``python -m resnet_lightning``: one training run, or with ``--multirun`` a sweep."""

import sys

from resnet_lightning.cli import run_command


def main() -> None:
    sys.exit(run_command(sys.argv[1:]))


if __name__ == "__main__":
    main()
