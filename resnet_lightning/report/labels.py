"""How settings, statuses and the provenance of the numbers are written, the same in tables, figures and sentences."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from resnet_lightning.report.columns import (
    ABSENT,
    DEFAULT_COLUMNS,
    NOT_SETTINGS,
    Value,
    comparable,
    is_place_of,
    setting,
)
from resnet_lightning.report.frame import Comparison, Run
from resnet_lightning.report.statistics import Row, devices_of, selection
from resnet_lightning.text import count

HEADERS = {"model": "Model", "lr": "LR", "batch": "BS"}
STATUS = {"oom": "Out of memory", "timeout": "timed out", "unavailable": "not available here"}
ON_TEST = "selected on test"
CHANCE = "≤ chance"  # no better on the test images than always naming their most frequent class
REASON_LENGTH = 80  # characters of a reason in a table
SHARED_LENGTH = 300  # of what all runs share
SCALES = ("scale", "epochs_scale")


def header(key: str) -> str:
    return HEADERS.get(key, clean(key))


def value_text(value: Value) -> str:
    """As on the command line: ``0.1``, ``relu``, ``true``, ``null``."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value).removesuffix(".0") if isinstance(value, float) else clean(str(value))


def setting_text(settings: dict[str, Value], length: int = 1000) -> str:
    """``model=resnet18 lr=0.1``, at most ``length`` characters, without what a run does not have."""
    pairs = [f"{clean(key)}={value_text(value)}" for key, value in settings.items() if value != ABSENT]
    return shorten(" ".join(pairs), length)


def clean(text: str) -> str:
    """One line without control characters (a terminal would obey them)."""
    return "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))


def shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def status_text(row: Row) -> str:
    """``done``, ``done, ≤ chance``, ``Out of memory``, ``failed: ValueError: ...``, ``2 of 3 done, 1 failed: ...``."""
    status = STATUS.get(row.status, row.status)
    if row.at_chance:  # those that are done
        status = f"done, {CHANCE}" if status == "done" else status.replace("done", f"done ({CHANCE})", 1)
    tells = row.reason and row.status not in {"done", "oom"}
    return clean(f"{status}: {shorten(clean(row.reason or ''), REASON_LENGTH)}" if tells else status)


def caption(comparison: Comparison, rows: list[Row]) -> str:
    """What the numbers of the table are: how many runs, of which images, selected how, measured where."""
    done = comparison.done
    parts = [
        scaled_down(comparison),
        f"{count(len(comparison.runs), 'run')} of {count(len(rows), 'setting')}, {len(done):,} done",
        subject(comparison, done),
        seeds(rows),
        images(done),
        chosen(comparison) if done else "",
        p_values(comparison, rows),
        machine(done, rows),
    ]
    return " ".join(part + "." for part in parts if part)


def subject(comparison: Comparison, done: list[Run]) -> str:
    """``All with model resnet10 and data mnist, epochs=2``: what all runs share and no column shows."""
    values = {key: {str(run.result.choices.get(key)) for run in done if run.result} for key in DEFAULT_COLUMNS}
    parts = [f"{key} {clean(min(found))}" for key, found in values.items() if len(found) == 1]
    parts = [part for part in parts if part.split()[0] not in comparison.columns and not part.endswith("None")]
    set_by_user = setting_text(shared(comparison, done), SHARED_LENGTH)
    return f"All with {', '.join(filter(None, (' and '.join(parts), set_by_user)))}" if parts or set_by_user else ""


def shared(comparison: Comparison, done: list[Run]) -> dict[str, Value]:
    """What the user set for all runs, but for places and what the caption says elsewhere."""
    said = {*NOT_SETTINGS, *DEFAULT_COLUMNS, *SCALES, *comparison.columns}
    keys = dict.fromkeys(key for run in done for key in run.overrides if key not in said)
    known = {key: [setting(key, run.overrides, run.result) for run in done] for key in keys}
    return {
        key: values[0]
        for key, values in known.items()
        if len(set(map(comparable, values))) == 1 and not is_place_of(key, (done[0].overrides, done[0].result))
    }


def scaled_down(comparison: Comparison) -> str:
    """``Scaled down to 10 % of the training images and 5 % of the epochs``; empty for a comparison of full runs."""
    data, epochs = comparison.scale
    parts = [
        f"{100 * share:g} % of the {what}"
        for share, what in ((data, "training images"), (epochs, "epochs"))
        if share < 1
    ]
    return f"Scaled down to {' and '.join(parts)}" if parts else ""


def title(comparison: Comparison) -> str:
    """Name of the sweep, and that it is scaled down where it is."""
    scaled = scaled_down(comparison)
    return f"{clean(comparison.name)}, {scaled[0].lower()}{scaled[1:]}" if scaled else clean(comparison.name)


def seeds(rows: list[Row]) -> str:
    several = any(row.test_accuracy and row.test_accuracy.n > 1 for row in rows)
    return "Mean ± sample standard deviation over the seeds (number of runs)" if several else ""


def images(done: list[Run]) -> str:
    if not done:
        return ""
    results = [run.result for run in done if run.result]
    held_out = [result.val.get("images") for result in results if result.selection != "test"]
    splits = f"{distinct(result.test.get('images') for result in results)} test"
    splits += f" and {distinct(held_out)} validation" if held_out else ""
    smoothed = any(result.config.get("label_smoothing") for result in results)
    mode = "training mode, of smoothed labels where there is label_smoothing" if smoothed else "training mode"
    return f"Losses (means per sample) and accuracies on {splits} images, train loss in {mode}"


def chosen(comparison: Comparison) -> str:
    if selection(comparison) == "test":
        text = without_validation(comparison)
        return (
            f"{text[0].upper()}{text[1:]}: best epoch and best setting (marked) are {ON_TEST}, "
            "so that the test numbers are too good"
        )
    return "Validation accuracy selects the epoch of each run and the best setting (marked)"


def without_validation(comparison: Comparison) -> str:
    """Of how many runs the test set has selected the epoch; beside others their test numbers are at an advantage."""
    selections = [run.result.selection for run in comparison.done if run.result]
    few = selections.count("test")
    if few == len(selections):
        return "no validation images were held out"
    return f"{few} of {count(len(selections), 'run')} held no validation images out, which favours them"


def p_values(comparison: Comparison, rows: list[Row]) -> str:
    if all(row.p_value is None for row in rows):
        return ""
    metric = "test" if selection(comparison) == "test" else "validation"
    return f"p: Welch's t-test of {metric} accuracy against the best, not corrected for the number of settings"


def machine(done: list[Run], rows: list[Row]) -> str:
    """Times say nothing without the machine; with several machines they do not compare."""
    if not done:
        return ""
    results = [run.result for run in done if run.result]
    parts = {
        "device": Counter(clean(result.device_kind or "unknown device") for result in results),
        "precision": Counter(f"{result.precision or 'unknown'} precision" for result in results),
        "threads": Counter(threads_text(result.threads) for result in results),
    }
    text = ", ".join(mixture(found) for found in parts.values())
    mixed = [name for name, found in parts.items() if len(found) > 1]
    warning = f"; they do not compare where the {' or the '.join(mixed)} differs" if mixed else ""
    several = any(len(devices_of(row.group)) > 1 for row in rows)
    left = ", and are left out of a setting with runs on several devices" if several else ""
    return f"Times and memory are those of {text}{warning}{left}"


def threads_text(threads: object) -> str:
    """Of a record, which may be damaged."""
    return count(threads, "CPU thread") if isinstance(threads, int) else "unknown number of CPU threads"


def mixture(found: Counter[str]) -> str:
    """``bf16 precision``, or ``bf16 precision (6 runs) and 32 precision (12 runs)``."""
    if len(found) == 1:
        return next(iter(found))
    return " and ".join(f"{name} ({count(number, 'run')})" for name, number in found.items())


def distinct(values: Iterable[Any]) -> str:
    """``10,000``, or where runs differ ``500 to 10,000``."""
    known = sorted({value for value in values if isinstance(value, int) and not isinstance(value, bool)})
    if not known:
        return "an unknown number of"
    return f"{known[0]:,}" if len(known) == 1 else f"{known[0]:,} to {known[-1]:,}"
