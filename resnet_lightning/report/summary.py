"""A few sentences on the comparison, computed from its numbers; they claim no more than these carry."""

import json
import math
from collections import Counter, defaultdict

from resnet_lightning.report.frame import Comparison, Run
from resnet_lightning.report.labels import (
    ON_TEST,
    STATUS,
    clean,
    distinct,
    setting_text,
    shorten,
    value_text,
    without_validation,
)
from resnet_lightning.report.statistics import (
    SIGNIFICANT,
    Effect,
    Estimate,
    Level,
    Row,
    estimate,
    is_balanced,
    measured,
    p_text,
    runs_on_one_device,
    selection,
    selection_metric,
)
from resnet_lightning.text import count

# of two equal accuracies on independent test sets; all are tested on the same images, whose difficulty they share
DIFFERENCE = "and its difference from an equally good setting up to 1.4 times as much"
RULE_OF_THREE = 3  # of n images none was wrong: with 95 % confidence at most 3 of n are
LISTED = 5  # settings, levels or reasons that a sentence names
UNFINISHED = ("running", "waiting", "unavailable")  # no failures: their time has not come, or their machine


def summarise(comparison: Comparison, rows: list[Row], effects: list[Effect]) -> list[str]:
    """Best setting, effect of each swept key, which differences are noise, what did not finish."""
    best = next((row for row in rows if row.best), None)
    sentences = []
    if best is None:
        yet = " yet" if any(run.status in UNFINISHED for run in comparison.runs) else ""
        sentences.append(f"No run has finished{yet}: there is nothing to compare.")
    else:
        sentences.append(best_setting(comparison, rows, best))
        sentences += other_data(comparison) + other_samples(comparison)
        sentences += [effect_of(effect) for effect in effects]
        sentences += what_effects_are(comparison, effects)
        sentences += speed_ups(rows)
        sentences += noise(comparison, rows, best)
    return sentences + failures(comparison.runs) + unfinished(comparison.runs) + repeated(comparison)


def best_setting(comparison: Comparison, rows: list[Row], best: Row) -> str:
    by = selection(comparison)
    finished = sum(row.test_accuracy is not None or row.val_accuracy is not None for row in rows)
    what = setting_text(best.group.settings) + (f" ({best.status})" if best.status != "done" else "")
    opening = (
        f"Best of {finished:,} settings by {by} accuracy is {what}" if finished > 1 else f"Only {what} has finished"
    )
    if by == "test":
        accuracy = f"a test accuracy of {percent(best.test_accuracy)} on {images(best, 'test')}"
        why = without_validation(comparison)
        return f"{opening}, with {accuracy}; it is {ON_TEST} ({why}), so that it is too good."
    val = f"{percent(best.val_accuracy)} on {images(best, 'val')}"
    return (
        f"{opening}: validation accuracy {val}, test accuracy {percent(best.test_accuracy)} on {images(best, 'test')}."
    )


def repeated(comparison: Comparison) -> list[str]:
    if not comparison.repeated:
        return []
    return [f"{count(comparison.repeated, 'folder')} left out: settings and seed are those of another one."]


def percent(accuracy: Estimate | None) -> str:
    """``98.55 ± 0.12 % (n = 3)``."""
    if accuracy is None:
        return "unknown"
    spread = "" if accuracy.sd is None else f" ± {100 * accuracy.sd:.2f}"
    return f"{100 * accuracy.mean:.2f}{spread} % (n = {accuracy.n})"


def images(row: Row, split: str) -> str:
    found = [run.result for run in row.group.runs if run.result and run.status == "done"]
    name = {"val": "validation", "test": "test"}[split]
    return f"{distinct(getattr(result, split).get('images') for result in found)} {name} images"


def other_data(comparison: Comparison) -> list[str]:
    """Accuracies on different data are no ranking of settings."""
    images = {tuple(map(run.settings.get, ("data", "data.root", "data.digest"))) for run in comparison.done}
    if len(images) < 2:
        return []
    return ["The runs have different data sets: the best setting says as much about the data as about the training."]


def other_samples(comparison: Comparison) -> list[str]:
    """``data.val_seed`` chooses the validation images, with ``data.test_limit`` the test images too (and an older
    version chose others)."""
    held_out: dict[str, set[str]] = defaultdict(set)
    tested: dict[str, set[str]] = defaultdict(set)
    for run in comparison.done:
        data = run.result.config.get("data") if run.result else None
        if run.result and isinstance(data, dict):
            if run.result.selection != "test":
                held_out[str(data.get("name"))].add(str(data.get("val_seed")))
            if data.get("test_limit"):
                sample = str(run.result.data.get("test_sample"))
                tested[f"{data['test_limit']} of {data.get('name')}"].add(sample)
    sentences = []
    if any(len(found) > 1 for found in held_out.values()):
        sentences.append("The runs were selected on different validation images (data.val_seed).")
    if any(len(found) > 1 for found in tested.values()):
        sentences.append("The runs were tested on different samples of the test images.")
    return sentences


def effect_of(effect: Effect) -> str:
    """``lr explains 62 % of the variance of the test accuracy (p < 0.001): mean 90.12 % (18) at 0.001, ...``."""
    name, levels = clean(effect.key), effect.levels
    if len(levels) > LISTED:
        ordered = sorted(levels, key=lambda level: level.accuracy.mean)
        means = f"from {level_text(ordered[0])} to {level_text(ordered[-1])}, {len(levels)} values"
    else:
        means = ", ".join(map(level_text, levels))
    if effect.share is None:
        return f"{name}: mean test accuracy {means}; its share of the variance cannot be told from these runs."
    share = f"{name} explains {percentage(effect.share)} of the variance of the test accuracy"
    if effect.p_value is None:
        return f"{share}: mean {means}."
    if effect.p_value >= SIGNIFICANT:
        return f"{share}, which is not distinguishable from noise ({p_text(effect.p_value, 2)}): mean {means}."
    return f"{share} ({p_text(effect.p_value)}): mean {means}."


def level_text(level: Level) -> str:
    return f"{100 * level.accuracy.mean:.2f} % at {value_text(level.value)} (n = {level.accuracy.n})"


def percentage(share: float) -> str:
    return "less than 1 %" if share < 0.01 else f"{100 * share:.0f} %"


def what_effects_are(comparison: Comparison, effects: list[Effect]) -> list[str]:
    known = [effect for effect in effects if effect.share is not None]
    if not effects:
        return []
    sentences = []
    if known:
        text = f"Shares and p values are those of main effects over {count(effects[0].runs, 'finished run')}"
        if len(known) == len(effects) and is_balanced(comparison):
            rest = max(0.0, 1 - sum(effect.share or 0 for effect in known))
            text += f"; interactions and noise account for {percentage(rest)}"
        sentences.append(text + ".")
    if len(effects) > 1 and not is_balanced(comparison):
        sentences.append("The grid has holes: the means above are over different combinations of the other settings.")
    return sentences


def speed_ups(rows: list[Row]) -> list[str]:
    """How much faster another accelerator than the CPU trains, where a setting has been run on both."""
    sentences = []
    times = {json.dumps(row.group.settings): train_seconds(row) for row in rows}
    for row in rows:
        on_cpu, seconds = {**row.group.settings, "accelerator": "cpu"}, train_seconds(row)
        reference = times.get(json.dumps(on_cpu))
        if row.group.settings == on_cpu or "accelerator" not in row.group.settings or not (reference and seconds):
            continue
        memory = f", peak memory {row.peak_memory.text(digits=0)} MiB" if row.peak_memory else ""
        sentences.append(
            f"{setting_text(row.group.settings)} trains {reference.mean / seconds.mean:.1f} times as fast as the CPU: "
            f"{seconds.text(digits=1)} s against {reference.text(digits=1)} s in the training steps{memory}."
        )
    return sentences


def train_seconds(row: Row) -> Estimate | None:
    return estimate(measured(run, "train_seconds") for run in runs_on_one_device(row.group))


def noise(comparison: Comparison, rows: list[Row], best: Row) -> list[str]:
    """What can be said about the differences to the best setting."""
    by = selection(comparison)
    others = [row for row in rows if not row.best and selection_metric(row, by)]
    tested = [row for row in others if row.p_value is not None]
    if not others:
        return [one_run(best)] if best.test_accuracy and best.test_accuracy.n == 1 else []
    sentences = []
    if tested:
        same = [row for row in tested if row.note]
        names = "; ".join(setting_text(row.group.settings, 80) for row in same[:LISTED])
        more = f" and {len(same) - LISTED} more" if len(same) > LISTED else ""
        result = f"{len(same)} cannot be told from the best: {names}{more}" if same else "each differs from the best"
        sentences.append(
            f"Of the {count(len(tested), 'other setting')} with two or more finished runs, {result} (Welch's t-test on "
            f"{by} accuracy at the {100 * SIGNIFICANT:.0f} % level, not corrected for the number of settings)."
        )
    if len(tested) < len(others):
        sentences.append(untested(len(others) - len(tested), rows, best))
    return sentences


def untested(number: int, rows: list[Row], best: Row) -> str:
    """One run of a setting says nothing about how much the next would differ."""
    error = standard_error(best)
    floor = f" The sample of test images alone gives the best test accuracy {error}, {DIFFERENCE}." if error else ""
    if all(row.test_accuracy is None or row.test_accuracy.n == 1 for row in rows):
        return f"Every setting has one finished run: nothing tells a difference from the noise between seeds.{floor}"
    return (
        f"{count(number, 'setting')} cannot be tested (a single finished run, or no spread): nothing tells their "
        f"difference from the best from the noise between seeds.{floor}"
    )


def one_run(best: Row) -> str:
    error = standard_error(best)
    floor = f" The sample of test images alone gives its test accuracy {error}." if error else ""
    return f"One run says nothing about the spread over seeds.{floor}"


def standard_error(row: Row) -> str:
    """That of the test accuracy of one run from its number of images, the least uncertainty there is; else empty."""
    found = [run.result.test.get("images") for run in row.group.runs if run.result and run.status == "done"]
    sizes = [size for size in found if isinstance(size, int) and size > 0]
    if row.test_accuracy is None or not sizes:
        return ""
    share, size = row.test_accuracy.mean, min(sizes)
    if not 0 < share < 1:
        error = 100 * RULE_OF_THREE / size
        return f"an error of up to {error:.2f} percentage points (95 %, rule of three, n = {size:,})"
    error = 100 * math.sqrt(share * (1 - share) / size)
    return f"a standard error of {error:.2f} percentage points (binomial, n = {size:,})"


def failures(runs: list[Run]) -> list[str]:
    failed = [run for run in runs if run.status not in {"done", *UNFINISHED}]
    if not failed:
        return []
    counts = Counter((run.status, shorten(clean(run.reason or ""), 120)) for run in failed)
    texts = [
        f"{number} {STATUS.get(status, status).lower()}{f' ({reason})' if reason else ''}"
        for (status, reason), number in counts.most_common()
    ]
    more = f"; and {len(texts) - LISTED} other kinds" if len(texts) > LISTED else ""
    return [f"{len(failed)} of {count(len(runs), 'run')} did not finish: {'; '.join(texts[:LISTED])}{more}."]


def unfinished(runs: list[Run]) -> list[str]:
    counts = Counter(run.status for run in runs if run.status in UNFINISHED)
    if not counts:
        return []
    said = STATUS | {"running": "running, or killed without a record of it"}
    texts = (f"{number} of {count(len(runs), 'run')} {said.get(status, status)}" for status, number in counts.items())
    return ["; ".join(texts) + "."]
