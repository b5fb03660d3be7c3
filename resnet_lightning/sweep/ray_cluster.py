"""Jobs as tasks of a Ray cluster."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from resnet_lightning.config import ConfigError
from resnet_lightning.result import RunResult
from resnet_lightning.sweep.cluster import Loss, Ticket, extra_package, first_line
from resnet_lightning.sweep.node import Task, run_task
from resnet_lightning.text import tell


class RayQueue:
    """A Ray cluster.

    Args:
        options: of ``hydra.launcher.ray``: ``init`` for ``ray.init``, ``remote`` for ``ray.remote``.
        gpus: of a job, for ``num_gpus=auto`` where the cluster has GPUs.
    """

    name = "Ray"
    threads: int | None = None  # Ray sets OMP_NUM_THREADS to num_cpus, and torch takes that

    def __init__(self, options: dict[str, Any], gpus: int) -> None:
        self.ray = extra_package("ray", "ray")
        self.options, self.gpus = options, gpus

    def connect(self) -> None:
        if self.ray.is_initialized():
            return
        try:
            self.ray.init(**self.options["init"])
        except (ConnectionError, RuntimeError, ValueError, TypeError) as error:
            where = self.options["init"].get("address")
            raise ConfigError(f"There is no Ray cluster at hydra.launcher.ray.init.address={where}: {error}") from error

    def submit(self, folder: Path, tasks: Sequence[Task]) -> list[Ticket]:
        remote = dict(self.options["remote"])
        if remote.get("num_gpus") == "auto":
            remote["num_gpus"] = self.gpus if self.ray.cluster_resources().get("GPU") else 0
        self.say_if_too_large(remote)
        function = self.ray.remote(**remote)(run_task)
        gets_gpus = bool(remote.get("num_gpus"))
        return [RayTicket(self.ray, function.remote(replace(task, gets_gpus=gets_gpus))) for task in tasks]

    def say_if_too_large(self, remote: dict[str, Any]) -> None:
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        needs = {"CPU": remote.get("num_cpus") or 0, "GPU": remote.get("num_gpus") or 0}
        if not any(all(node.get(key, 0) >= amount for key, amount in needs.items()) for node in nodes):
            tell(f"No node of the cluster has {needs['CPU']} CPUs and {needs['GPU']} GPUs: the jobs wait for one.")


class RayTicket:
    """A task of Ray."""

    def __init__(self, ray: Any, reference: Any) -> None:
        self.ray, self.reference = ray, reference

    def poll(self) -> RunResult | Loss | None:
        ready, _ = self.ray.wait([self.reference], timeout=0)
        if not ready:
            return None
        errors = self.ray.exceptions
        try:
            result: RunResult = self.ray.get(self.reference)
            return result
        except errors.TaskCancelledError:
            return Loss("interrupted", "cancelled in Ray")
        except errors.OutOfMemoryError as error:
            return Loss("oom", f"Ray ended it: {first_line(error)}")
        except errors.RayTaskError as error:
            return Loss("failed", f"the node could not run it: {error.cause!r}")
        except errors.RayError as error:
            return Loss("killed", f"Ray ended it: {first_line(error)}")

    def cancel(self) -> None:
        self.ray.cancel(self.reference)
