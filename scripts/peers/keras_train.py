"""Keras `fit` over TensorFlow, with as many threads as it takes by default: training with Adam in graph mode."""

import argparse
import json
import sys
import time

from tensorflow import keras

import fashion_mnist
from lines import send
from tensorflow_models import read_network

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--network", required=True, help="file of networks.js")
parser.add_argument("--batch", type=int, default=512)
parser.add_argument("--samples", type=int, required=True, help="of an epoch")
parser.add_argument("--data-dir", required=True)
parser.add_argument("--xla", action="store_true", help="let XLA compile the step")
options = parser.parse_args()


class Blocks(keras.callbacks.Callback):
    """One long fit, of which every epoch waits for its line: so preparing a fit is paid once, as users pay it."""

    def on_train_begin(self, logs=None):
        send({})

    def on_epoch_begin(self, epoch, logs=None):
        line = sys.stdin.readline()
        if not line:
            sys.exit()
        json.loads(line)
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        send({"rate": options.samples / (time.perf_counter() - self.started)})


images, labels = fashion_mnist.load(options.data_dir, "train")
images = images[: options.samples, ..., None].astype("float32") / 255
labels = labels[: options.samples].astype("int32")
net = read_network(options.network)
net.compile(
    optimizer=keras.optimizers.Adam(0.001),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    # Several steps per call of the graph: fewer returns to Python.
    steps_per_execution=max(1, min(16, options.samples // options.batch)),
    # Which is faster depends on model and machine; Keras by itself ("auto") takes XLA.
    jit_compile=options.xla,
)
net.fit(images, labels, batch_size=options.batch, epochs=10**6, shuffle=True, verbose=0, callbacks=[Blocks()])
