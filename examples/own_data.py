"""Train on your own images, my_images/train/<class>/*.png and my_images/test/<class>/*.png; here made up."""

import sys
from pathlib import Path

import numpy as np
from lightning.pytorch import Trainer, seed_everything
from PIL import Image

from resnet_lightning import ImageClassifier, ImageDataModule, ResNet


def make_images(root: Path) -> None:
    """Two classes that differ by their colour."""
    random = np.random.default_rng(0)
    for split, count in (("train", 60), ("test", 20)):
        for name, colour in (("sky", (40, 60, 200)), ("grass", (60, 180, 50))):
            (root / split / name).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                pixels = np.clip(np.array(colour) + random.normal(0, 40, (48, 40, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")


root = Path(sys.argv[1] if len(sys.argv) > 1 else "my_images")
if not root.exists():
    make_images(root)

data = ImageDataModule.from_name("folder", root=root, image_size=32, val_size=0.2, batch=16, augment="crop_flip")
data.prepare_data()
data.setup()  # now the classes are known
seed_everything(0)  # of the weights; the data have a seed of their own
network = ResNet.from_name("resnet10", num_classes=len(data.classes), widths=[8, 16, 32], image_size=32)
classifier = ImageClassifier(network, num_classes=len(data.classes), optimizer="adam")
trainer = Trainer(max_epochs=3, logger=False, enable_checkpointing=False, enable_progress_bar=False)
trainer.fit(classifier, datamodule=data)
trainer.test(classifier, datamodule=data)
