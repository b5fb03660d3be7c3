"""What Lightning does around each of the twenty hooks of a step, where its usual way takes longer than most of them."""

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from lightning.pytorch.profilers import PassThroughProfiler

Hook = TypeVar("Hook", bound=Callable[..., Any])


class Untimed(PassThroughProfiler):
    """Times nothing, as the Trainer's own profiler does, but without a generator for each hook."""

    nothing: AbstractContextManager[None] = nullcontext()

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        return self.nothing


class QuickHooks:
    """Before ``LightningModule`` in the bases of a class: takes the name of each hook in little time."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "_current_fx_name":
            self.__dict__[name] = value  # 40 times a step: nn.Module would look for parameters, modules and buffers
        else:
            super().__setattr__(name, value)


def described(hook: Hook) -> Hook:
    """Keep the signature of a hook: Lightning asks for it in each step, and Python would make it each time."""
    hook.__signature__ = inspect.signature(hook)  # type: ignore[attr-defined]
    return hook
