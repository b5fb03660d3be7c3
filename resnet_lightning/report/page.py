"""``comparison.html``: the comparison as one page that opens offline, on any machine, from any place.

The page fetches nothing: scripts, style and numbers are inside, and its Content-Security-Policy forbids every request
and every script but the two whose SHA-256 it names. plotly compiles the shaders of its parallel coordinates with
``Function``, hence ``'unsafe-eval'``: it lets those two scripts do so, and no others in. The Python package of plotly
has only the full plotly.js (5 MB), no smaller bundle.
"""

import base64
import hashlib
import json
import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

from resnet_lightning.files import atomic_write, without_nan
from resnet_lightning.report.against import Against
from resnet_lightning.report.frame import Comparison, Run
from resnet_lightning.report.labels import CHANCE, caption, distinct, title
from resnet_lightning.report.statistics import Effect, Estimate, Row, is_balanced, measured, selection

FILES = Path(__file__).with_name("page")
SCRIPTS = (  # in this order; main starts them
    *("data", "filter", "lines", "table", "details", "difference"),
    *("figures", "curves", "parallel", "heatmap", "effects", "time", "main"),
)
METRICS: dict[str, tuple[str, ...]] = {  # place in the record
    "train_loss": ("train", "loss"),
    "val_accuracy": ("val", "accuracy"),
    "test_loss": ("test", "loss"),
    "test_accuracy": ("test", "accuracy"),
    "seconds": ("seconds",),
    "peak_memory": ("peak_memory",),
}
LINKED = ("job.log", "run.log", "result.json", "metrics.csv", "curves.png", "confusion_matrix.png", "predictions.png")
MACHINE = ("device_kind", "precision", "threads", "versions", "git_commit")  # part of the difference between two runs


def write_page(
    comparison: Comparison,
    rows: list[Row],
    effects: list[Effect],
    sentences: list[str],
    path: Path,
    compared: Against | None = None,
) -> None:
    """Write the page to ``path``.

    Args:
        rows, effects: of ``compare`` and ``main_effects``.
        sentences: the summary, plain text.
        compared: the reference beside the sweep.
    """
    from jinja2 import Environment
    from plotly.offline import get_plotlyjs

    plotly = one_kind_of_newline(get_plotlyjs())
    script = "\n".join(one_kind_of_newline((FILES / f"{name}.js").read_text(encoding="utf-8")) for name in SCRIPTS)
    template = Environment(autoescape=True).from_string((FILES / "template.html").read_text(encoding="utf-8"))
    page = template.render(
        name=title(comparison),
        compared=compared,
        sentences=map(unbroken, sentences),
        caption=unbroken(caption(comparison, rows) + training_images(comparison)),
        policy=content_security_policy(plotly, script),
        style=(FILES / "page.css").read_text(encoding="utf-8"),
        data=to_json(page_data(comparison, rows, effects, path.parent)),
        plotly=plotly,
        script=script,
    )
    with atomic_write(path, "w", encoding="utf-8", newline="\n", errors="replace") as file:
        file.write(page)


def unbroken(text: str) -> str:
    """A number and its unit, and ``n = 5``, stay in one line."""
    return re.sub(r"(?<=\d) (?=%)|(?<=\b[np]) (?==)|(?<=\b[np] =) (?=\d)", "\N{NO-BREAK SPACE}", text)


def one_kind_of_newline(text: str) -> str:
    """Browsers turn every line end into a line feed before they take the hash of a script."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def content_security_policy(*scripts: str) -> str:
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed} 'unsafe-eval'; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def to_json(data: Any) -> str:
    """JSON that neither ends the script element it stands in nor holds a NaN."""
    return json.dumps(without_nan(data), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def training_images(comparison: Comparison) -> str:
    """``Trained on 55,000 images.``; empty where it is not known."""
    splits = [run.result.data.get("images") for run in comparison.runs if run.result]
    trained = [images.get("train") for images in splits if isinstance(images, dict)]
    return f" Trained on {distinct(trained)} images." if any(trained) else ""


def page_data(comparison: Comparison, rows: list[Row], effects: list[Effect], place: Path) -> dict[str, Any]:
    """The numbers of the page.

    Args:
        place: folder of the page; the links to the files of a run are relative to it.
    """
    number = {run.name: position for position, run in enumerate(comparison.runs)}
    group = {run.name: position for position, row in enumerate(rows) for run in row.group.runs}
    configs = [flat_config(run) for run in comparison.runs]
    common = shared_settings(configs)
    classes = list(dict.fromkeys(json.dumps(class_names(run)) for run in comparison.runs))
    return {
        "selection": selection(comparison),
        "columns": comparison.columns,
        "common": common,
        "classes": [json.loads(names) for names in classes],
        "runs": [
            run_data(run, comparison.folder, place)
            | {"group": group[run.name], "classes": classes.index(json.dumps(class_names(run)))}
            | {"config": {key: config[key] for key in config if key not in common} if config else None}
            for run, config in zip(comparison.runs, configs, strict=True)
        ],
        "rows": [row_data(row) | {"runs": [number[run.name] for run in row.group.runs]} for row in rows],
        "effects": [asdict(effect) for effect in effects],
        "balanced": is_balanced(comparison),
    }


def run_data(run: Run, folder: Path, place: Path) -> dict[str, Any]:
    result = run.result
    return {
        "name": run.name,
        "settings": run.settings,
        "seed": run.seed,
        "status": run.status,
        "reason": run.reason,
        "command": run.command,
        "links": links(folder / run.name, place),
        "metrics": run_metrics(run),
        "history": history_data(run.history),
        "per_class": class_accuracies(run),
        "images": result.test.get("images") if result else None,
        "selection": result.selection if result else None,
        "best_epoch": result.best_epoch if result else None,
        "epochs_done": result.epochs_done if result else 0,
        "started": result.started if result else None,
    }


def run_metrics(run: Run) -> dict[str, float | None]:
    """The numbers that count in its row: none unless it is done, no validation accuracy without held-out images."""
    metrics = {key: measured(run, *place) for key, place in METRICS.items()}
    if run.result and run.result.selection == "test":
        metrics["val_accuracy"] = None
    return {key: rounded(value) for key, value in metrics.items()}


def history_data(history: list[dict[str, float]]) -> dict[str, list[float | None]]:
    """Columns of ``metrics.csv`` that are drawn; where the test set selects, its columns stand for validation."""
    split = "val" if history and "val_loss" in history[0] else "test"
    names = {"epoch": "epoch", "train_loss": "train_loss", "val_loss": f"{split}_loss"}
    names["val_accuracy"] = f"{split}_accuracy"
    return {key: [rounded(row.get(name)) for row in history] for key, name in names.items()}


def links(folder: Path, place: Path) -> dict[str, str]:
    """Address of every file that a run left, relative to the page."""
    existing = [name for name in LINKED if (folder / name).is_file()]
    paths = {name: Path(os.path.relpath(folder / name, place)).as_posix() for name in existing}
    return {name: quote(os.fsencode(path)) for name, path in paths.items()}


def class_names(run: Run) -> list[str]:
    names = run.result.data.get("classes") if run.result else None
    return [str(name) for name in names] if isinstance(names, list) else []


def class_accuracies(run: Run) -> list[float | None]:
    shares = run.result.test.get("per_class_accuracy") if run.result else None
    listed = shares if isinstance(shares, list) else []
    return [rounded(share) if isinstance(share, float) else None for share in listed]


def row_data(row: Row) -> dict[str, Any]:
    return {
        "settings": row.group.settings,
        "status": row.status,
        "reason": row.reason,
        "best": row.best,
        "p_value": row.p_value,
        "note": "; ".join(filter(None, [CHANCE if row.at_chance else "", row.note])),
        "near_best": bool(row.note),
        "metrics": {key: estimate_data(getattr(row, key)) for key in METRICS},
    }


def estimate_data(estimate: Estimate | None) -> dict[str, Any] | None:
    return {"mean": rounded(estimate.mean), "sd": rounded(estimate.sd), "n": estimate.n} if estimate else None


def flat_config(run: Run) -> dict[str, Any]:
    """``{"lr": 0.1, "model.name": "resnet18", ...}`` with the machine it ran on; empty without a record."""
    if run.result is None:
        return {}
    machine = {f"machine: {key.removesuffix('_kind')}": fact for key in MACHINE if (fact := getattr(run.result, key))}
    return flatten(run.result.config | machine)


def flatten(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return flat


def shared_settings(configs: list[dict[str, Any]]) -> dict[str, Any]:
    """What is the same in all runs that have a record: it is in the page once."""
    known = [config for config in configs if config]
    first = known[0] if known else {}
    return {key: value for key, value in first.items() if all(key in c and c[key] == value for c in known)}


def rounded(value: float | None) -> float | None:
    """Six digits: more than is shown, and half of the page's size."""
    return None if value is None else float(f"{value:.6g}")
