"""Train a ResNet on MNIST from Python, and use it."""

from lightning.pytorch import Trainer, seed_everything

from resnet_lightning import ImageClassifier, ImageDataModule, ResNet

seed_everything(0)
data = ImageDataModule.from_name("mnist", batch=32, train_limit=5_000)
network = ResNet.from_name("resnet10", num_classes=10, in_channels=1, widths=[8, 16, 32])
trainer = Trainer(max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False)
classifier = ImageClassifier(network, num_classes=10, optimizer="momentum", scheduler="onecycle", lr=0.1)
trainer.fit(classifier, datamodule=data)
trainer.test(classifier, datamodule=data)
