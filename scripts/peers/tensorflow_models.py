"""The models of packages/engine/src/zoo in Keras: same layers, same initial distributions, logits at the end."""

import tensorflow as tf
from tensorflow import keras

layers = keras.layers
MOMENTUM = 0.9
EPSILON = 1e-5


class FusedNormalization(layers.Layer):
    """Batch normalization as one operation. Keras' own layer puts it together from many, and is slower for it."""

    def build(self, shape):
        vector = shape[-1:]
        self.gamma = self.add_weight(name="gamma", shape=vector, initializer="ones")
        self.beta = self.add_weight(name="beta", shape=vector, initializer="zeros")
        self.mean = self.add_weight(name="mean", shape=vector, initializer="zeros", trainable=False)
        self.variance = self.add_weight(name="variance", shape=vector, initializer="ones", trainable=False)

    def call(self, x, training=False):
        moving = {} if training else {"mean": self.mean, "variance": self.variance}
        y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            x, self.gamma, self.beta, epsilon=EPSILON, is_training=training, **moving
        )
        if training:
            self.mean.assign(MOMENTUM * self.mean + (1 - MOMENTUM) * mean)
            self.variance.assign(MOMENTUM * self.variance + (1 - MOMENTUM) * variance)
        return y


def mlp():
    return keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Flatten(),
            layers.Dense(256, activation="relu"),
            layers.Dense(10),
        ]
    )


def cnn():
    return keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.3),
            layers.Dense(10),
        ]
    )


def convolution(x, filters, size, stride):
    return layers.Conv2D(
        filters, size, stride, padding="same", use_bias=False, kernel_initializer="he_normal"
    )(x)


def resnet():
    picture = layers.Input((28, 28, 1))
    x = layers.ReLU()(FusedNormalization()(convolution(picture, 16, 3, 1)))
    for filters, stride in [(16, 1), (32, 2), (64, 2)]:
        branch = layers.ReLU()(FusedNormalization()(convolution(x, filters, 3, stride)))
        branch = FusedNormalization()(convolution(branch, filters, 3, 1))
        shortcut = x if stride == 1 else FusedNormalization()(convolution(x, filters, 1, stride))
        x = layers.ReLU()(shortcut + branch)
    logits = layers.Dense(10)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(picture, logits)


MODELS = {"mlp": mlp, "cnn": cnn, "resnet": resnet}
