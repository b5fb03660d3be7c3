"""A server that sends half a file, and several processes that start on an empty data root."""

import hashlib
import io
import multiprocessing
import pickle
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from resnet_lightning.config import DataError
from resnet_lightning.data import cache


def archive() -> tuple[bytes, dict[str, object]]:
    """A small CIFAR-10 in the official format, and what torchvision must know of it."""
    from torchvision.datasets import CIFAR10

    buffer, official = io.BytesIO(), CIFAR10
    lists: dict[str, object] = {"train_list": [], "test_list": []}
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:

        def add(name: str, content: dict[str, object]) -> str:
            data = pickle.dumps(content, protocol=2)
            info = tarfile.TarInfo(f"{official.base_folder}/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
            return hashlib.md5(data).hexdigest()

        for key in ("train_list", "test_list"):
            pictures = np.random.default_rng(0).integers(0, 256, (20, 3072), dtype=np.uint8)
            content = {"data": pictures, "labels": [n % 10 for n in range(20)]}
            lists[key] = [[name, add(name, content)] for name, _ in getattr(official, key)]
        digest = add(official.meta["filename"], {official.meta["key"]: [f"class {n}" for n in range(10)]})
    return buffer.getvalue(), lists | {
        "meta": {**official.meta, "md5": digest},
        "tgz_md5": hashlib.md5(buffer.getvalue()).hexdigest(),
    }


REQUESTS = 2  # of each download: torchvision first asks whether the address leads elsewhere


class Server(ThreadingHTTPServer):
    def __init__(self, content: bytes, halves: int) -> None:
        self.content, self.halves, self.requests = content, halves, 0
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests += 1
        content = self.server.content
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if self.server.requests <= self.server.halves else content)

    def log_message(self, *arguments) -> None:
        pass


@pytest.fixture
def serve():
    servers = []

    def start(halves: int) -> tuple[Server, dict[str, object]]:
        content, official = archive()
        server = Server(content, halves)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server, official | {"url": f"http://127.0.0.1:{server.server_port}/cifar-10-python.tar.gz"}

    yield start
    for server in servers:
        server.shutdown()


def load(config, official: dict[str, object], queue=None) -> int:
    from torchvision.datasets import CIFAR10

    for key, value in official.items():
        setattr(CIFAR10, key, value)
    total = int(cache.load(config).train.images.sum())
    if queue is not None:
        queue.put(total)
    return total


def test_half_a_file_is_never_trained_on_and_fetched_again(serve, settings, tmp_path, monkeypatch):
    from torchvision.datasets import CIFAR10

    server, official = serve(halves=REQUESTS)
    for key in official:
        monkeypatch.setattr(CIFAR10, key, getattr(CIFAR10, key))  # put back afterwards
    data = settings("data=cifar10", f"data.root={tmp_path}").data
    with pytest.raises(DataError, match="cannot be downloaded"):
        load(data, official)
    assert not list(Path(tmp_path).rglob("*.npy"))
    assert load(data, official) > 0 and server.requests == 2 * REQUESTS


@pytest.mark.slow
def test_processes_that_start_on_an_empty_root_fetch_once(serve, settings, tmp_path):
    server, official = serve(halves=0)
    data = settings("data=cifar10", f"data.root={tmp_path}").data
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=load, args=(data, official, queue)) for _ in range(3)]
    for worker in workers:
        worker.start()
    assert len({queue.get(timeout=120) for _ in workers}) == 1
    for worker in workers:
        worker.join()
    assert server.requests == REQUESTS
