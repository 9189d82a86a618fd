"""The Keras tutorial for Fashion-MNIST, as one finds it: a dense net, Adam, ten epochs; only the files are local."""

import argparse
import time

from tensorflow import keras

import fashion_mnist
from lines import send

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--batch", type=int, default=32, help="the tutorial says nothing, and Keras takes 32")
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--data-dir", required=True)
options = parser.parse_args()

train_images, train_labels = fashion_mnist.load(options.data_dir, "train")
test_images, test_labels = fashion_mnist.load(options.data_dir, "t10k")
train_images = train_images / 255.0
test_images = test_images / 255.0

model = keras.Sequential(
    [
        keras.layers.Input((28, 28)),
        keras.layers.Flatten(),
        keras.layers.Dense(256, activation="relu"),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])

started = time.perf_counter()
model.fit(train_images, train_labels, batch_size=options.batch, epochs=options.epochs, verbose=0)
seconds = time.perf_counter() - started
loss, accuracy = model.evaluate(test_images, test_labels, verbose=0)
send({"trainSeconds": seconds, "testAccuracy": accuracy})
