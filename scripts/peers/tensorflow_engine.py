"""TensorFlow on one thread: forward and backward of one micro-batch in graph mode (`tf.function`, jit_compile off)."""

import argparse

import tensorflow as tf

from lines import rate, serve
from tensorflow_models import read_network

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--network", required=True, help="file of networks.js")
parser.add_argument("--batch", type=int, default=64)
options = parser.parse_args()

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
net = read_network(options.network)
# Scaled float32 pictures, ready in memory: Lockstep's engine scales from uint8 in every step.
# Black on the left half, as Lockstep's are.
images = tf.random.uniform((options.batch, 28, 28, 1)) * tf.cast(tf.range(28) >= 14, tf.float32)[:, None]
labels = tf.random.uniform((options.batch,), maxval=10, dtype=tf.int32)


@tf.function(jit_compile=False)
def gradient(images, labels):
    with tf.GradientTape() as tape:
        logits = net(images, training=True)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        loss = tf.reduce_mean(losses)
    return loss, tape.gradient(loss, net.trainable_variables)


def step():
    gradient(images, labels)


def block(seconds):
    return rate(step, options.batch, seconds)


serve({"versions": {"tensorflow": tf.__version__}, "parameters": net.count_params()}, block)
