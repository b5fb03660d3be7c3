"""The command, run with everything tiny."""

import csv
import gc

import pytest
import torch

from resnet_lightning.benchmark.__main__ import main


@pytest.fixture(scope="session", autouse=True)
def known_objects() -> None:
    """Turns collect garbage first, which takes half a second among the objects of all that tests have imported."""
    gc.freeze()


@pytest.fixture(autouse=True)
def one_thread(two_threads: None) -> None:
    torch.set_num_threads(1)


@pytest.fixture
def benchmark(tmp_path, data_root, monkeypatch):
    """``benchmark("only=input")`` -> the rows of ``benchmark.csv``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESNET_LIGHTNING_DATA", str(data_root))

    def run(*arguments: str) -> list[dict[str, str]]:
        assert main(["quick=true", "threads=1", *arguments]) == 0
        folder = tmp_path / "outputs" / ("recommend" if "recommend=true" in arguments else "benchmark")
        assert "these figures mean nothing" in (folder / "benchmark.md").read_text()
        with (folder / "benchmark.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    return run


def cases(rows: list[dict[str, str]]) -> list[str]:
    assert all(float(row["minimum"]) <= float(row["median"]) <= float(row["maximum"]) for row in rows)
    return [row["case"] for row in rows]
