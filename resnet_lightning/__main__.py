"""``python -m resnet_lightning``: one training run, with ``--multirun`` a sweep, with ``info`` what there is here."""

import sys

from resnet_lightning.cli import run_command


def main() -> None:
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal without Unicode still shows the table
    if sys.argv[1:2] == ["info"]:
        from resnet_lightning import info

        sys.exit(info.main(sys.argv[2:]))
    sys.exit(run_command(sys.argv[1:]))


if __name__ == "__main__":
    main()
