"""A family of networks of a few layers, as small as the contract allows."""

from dataclasses import dataclass

import numpy as np

from studykit.pose.network import Family, Schedule, family, train
from studykit.stills import Still, StillSet

ASKED = []  # of the network: what took time
SCHEDULE = Schedule(epochs=4, batch_size=4, learning_rate=0.05, look_epochs=2, best=True, seed=3)


@family("tiny_network")
@dataclass(frozen=True)
class Settings(Family):
    """Finds one keypoint's place as shares of the picture."""

    keypoints: tuple = ("nose",)
    widths: tuple = (4,)
    dropout: float = 0.2

    losses = "mse"

    def build(self, weights=None):
        import keras
        from keras import layers

        ASKED.append("build")
        hidden = [layers.Conv2D(width, 3, 2, activation="relu") for width in self.widths]
        last = [layers.Flatten(), layers.Dropout(self.dropout), layers.Dense(2)]
        return keras.Sequential([layers.Input((8, 8, 3)), layers.Rescaling(1 / 255), *hidden, *last], name="tiny")

    def augmentation(self):
        return None

    def encode(self, stills):
        images, points = (np.stack([getattr(still, name) for still in stills]) for name in ("image", "keypoints"))
        return images, points[:, 0, :2] / 8

    def decode(self, outputs):
        return 8 * np.asarray(outputs)[:, None]

    def look(self, model, sets):
        ASKED.append("look")
        inputs, targets = self.encode(list(sets["validation"]))
        return {"validation_loss": float(np.square(model.predict_on_batch(inputs) - targets).mean())}


def stills(count=10, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 255, (count, 8, 8, 3), dtype=np.uint8)
    points = np.concatenate([rng.uniform(0, 7, (count, 1, 2)), np.full((count, 1, 1), 2)], axis=2).astype(np.float32)
    people = [Still(image, p, participant=f"p{n}") for n, (image, p) in enumerate(zip(images, points, strict=True))]
    return StillSet(people, ("nose",))


def sets():
    return {"train": stills(), "validation": stills(4, seed=1)}


def trained(folder, settings=None, data=None, schedule=SCHEDULE):
    return train(settings or Settings(), data or sets(), folder, schedule, progress=False)
