"""The pictures of a run, of classes whatever they are called, and of more images than fit into memory."""

from types import SimpleNamespace

import torch
from PIL import Image

from resnet_lightning import fonts
from resnet_lightning.data.cache import ImageSet
from resnet_lightning.training.figures import STYLE, draw_confusion, draw_predictions

CLASSES = ["$10_$20", "a"]


class OnDisk:
    """Images that are read one by one."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def __getitem__(self, position: torch.Tensor) -> torch.Tensor:
        self.read.append(int(position))
        return torch.zeros(1, 8, 8, dtype=torch.uint8)


def test_a_class_may_have_any_name(tmp_path):
    draw_confusion([[3, 1], [0, 2]], CLASSES, "$1_$2", tmp_path / "confusion.png")
    assert min(Image.open(tmp_path / "confusion.png").size) > 100


def test_a_class_may_have_a_name_in_any_script_that_has_a_font(monkeypatch):
    named = ("Noto Sans CJK SC", "Comic Sans", "DejaVu Sans")
    monkeypatch.setattr(fonts.font_manager.fontManager, "ttflist", [SimpleNamespace(name=name) for name in named])
    assert fonts.families() == ["DejaVu Sans", "Noto Sans CJK SC"]
    assert STYLE["font.family"][0] == "DejaVu Sans"


def test_only_what_is_drawn_is_read(tmp_path):
    images, labels = OnDisk(), torch.zeros(2000, dtype=torch.int64)
    positions = torch.arange(1, 2000, 2)  # those of one of two processes
    predicted = torch.tensor([0] * 100 + [1] * 900)
    test = ImageSet(images, labels)  # type: ignore[arg-type]
    draw_predictions(test, positions, predicted, 1800, CLASSES, "$1_$2", tmp_path / "predictions.png")
    assert images.read == [*range(1, 33, 2), *range(201, 233, 2)]
    assert min(Image.open(tmp_path / "predictions.png").size) > 100
