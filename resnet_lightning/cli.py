"""The command line: every mistake is one sentence, before any work starts.

The settings are composed twice: first by ``compose_all``, which checks them and turns Hydra's errors into sentences;
then by ``hydra.main``, which makes the folder and runs the job.
"""

import io
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig

from resnet_lightning.compose import Command, compose_all
from resnet_lightning.config import (
    GROUPS,
    Config,
    ConfigError,
    DataError,
    DeviceLost,
    DeviceMissing,
    conf_folder,
    logger_names,
)
from resnet_lightning.help import help_text
from resnet_lightning.overrides import parse
from resnet_lightning.resume import with_resumed
from resnet_lightning.settings import read_config
from resnet_lightning.text import file_error, tell

codes: list[int] = []  # exit codes of what Hydra has run in this process
HYDRA_FLAGS = ("info", "hydra_help", "shell_completion", "experimental_rerun", "config_dir", "config_path")


def check_machine(jobs: Sequence[Config], elsewhere: bool) -> None:
    """Refuse what this machine, or the installed torch, cannot do; devices elsewhere are checked there.

    Raises:
        ConfigError: on the first job that asks for it.
    """
    from resnet_lightning.command import need
    from resnet_lightning.hardware import check_hardware  # imports torch
    from resnet_lightning.training.optimizers import check_options, check_schedule

    missing: list[DeviceMissing] = []
    for job in jobs:
        check_options(job.optimizer)
        check_schedule(job.scheduler)
        for name in logger_names(job.logger):
            if name in ("wandb", "mlflow"):
                need(name, name)
        if not elsewhere:
            try:
                check_hardware(job.accelerator, job.devices, job.precision)
            except DeviceMissing as error:
                missing.append(error)
    over_devices = len({job.accelerator for job in jobs}) > 1
    if missing and not (over_devices and len(missing) < len(jobs)):  # else the rows of those jobs say so
        raise missing[0]


def check_folder(arguments: Sequence[str], config: Config) -> None:
    """Refuse a folder of somebody else's run before Hydra writes its settings there.

    Raises:
        ConfigError: ``hydra.run.dir`` holds another run or somebody else's files, or is being run.
    """
    from resnet_lightning.hardware import is_first_process
    from resnet_lightning.run import refuse_folder

    given = [item.value() for item in parse(arguments) if item.get_key_element() == "hydra.run.dir"]
    if given and Path(str(given[-1])).is_dir() and is_first_process():
        refuse_folder(config, Path(str(given[-1])))


def dry_run(asked: Command) -> int:
    from resnet_lightning.sweep.plan import listing, plan_jobs

    tell(listing(asked.folder, plan_jobs(asked.folder, asked.jobs)))
    return 0


def start_early(asked: Command) -> None:
    """Let the fork server of a sweep import torch while this process does, where there is a job to run.

    Raises:
        ConfigError: this is Windows, or the sweep holds a run with other settings.
    """
    refuse_on_windows()
    from resnet_lightning.sweep.plan import plan_jobs
    from resnet_lightning.sweep.process import process_context, start_server

    if not all(job.finished for job in plan_jobs(asked.folder, asked.jobs)):
        start_server(process_context())


def refuse_on_windows() -> None:
    if sys.platform == "win32":
        raise ConfigError("A sweep needs Linux, macOS or WSL: it must be able to end a job with all that it started.")


@contextmanager
def without_bases() -> Iterator[None]:
    """Leave the ``_base.yaml`` of each group out of what Hydra offers to complete: they are no choices."""
    with redirect_stdout(io.StringIO()) as caught:
        yield
    print(re.sub(r"\S+=_base\b[ \n]?", "", caught.getvalue()), end="")


def show_help() -> int:
    tell(help_text())
    return 0


def run_job(settings: DictConfig) -> None:
    """The single run that Hydra has composed; leaves its exit code in ``codes``."""
    from resnet_lightning.run import run  # torch and lightning take seconds to import

    record = HydraConfig.get()
    try:
        choices = {group: str(record.runtime.choices[group]) for group in GROUPS}
        folder, overrides = Path(record.runtime.output_dir), list(record.overrides.task)
        codes.append(run(read_config(settings), folder, overrides, choices).exit_code)
    except ConfigError as error:  # the data, read by now, do not fit the settings
        print(f"Error: {error}", file=sys.stderr)
        codes.append(2)


def start(argv: list[str]) -> int:
    """Check everything, then let Hydra run it; returns the worst exit code of the jobs."""
    codes.clear()
    argv = with_resumed(argv)
    flags = get_args_parser().parse_args(argv)
    if flags.cfg and flags.multirun:
        raise ConfigError("--cfg prints the settings of one run: leave --multirun out.")
    if not any(vars(flags).get(flag) for flag in HYDRA_FLAGS):
        asked = compose_all(flags.overrides, flags.multirun)
        if asked.jobs[0][1].dry_run:
            return dry_run(asked)
        if asked.launcher == "device_queue":
            start_early(asked)
        check_machine([config for _, config in asked.jobs], asked.elsewhere)
        if not flags.multirun and not flags.cfg:
            check_folder(flags.overrides, asked.jobs[0][1])
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra would print the end of a traceback and exit; we say a sentence
    sys.argv[1:] = argv
    with without_bases() if flags.shell_completion else nullcontext():
        hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")(run_job)()
    return max(codes, default=0)


def run_command(argv: list[str]) -> int:
    """Run what the command line says; returns the exit code: 0 done, 1 failed, 2 bad setting, 130 interrupted."""
    if {"-h", "--help"} & set(argv):
        return show_help()
    try:
        return start(argv)
    except ConfigError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except (DataError, DeviceLost, HydraException) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # the folder of the run cannot be made or written
        print(f"Error: {file_error(error, 'The folder of the run')}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # before the run could take notice
        return 130
