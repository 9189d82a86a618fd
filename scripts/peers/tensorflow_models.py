"""
Lockstep's models in Keras, built from the file that networks.js writes: same layers, same initial distributions, logits at the
end.
"""

import json

import tensorflow as tf
from tensorflow import keras

layers = keras.layers

ACTIVATIONS = {"gelu_tanh": lambda x: keras.activations.gelu(x, approximate=True)}


class FusedNormalization(layers.Layer):
    """Batch normalization as one operation. Keras' own layer puts it together from many, and is slower for it."""

    def __init__(self, node, specs):
        super().__init__()
        self.node, self.specs = node, specs

    def build(self, shape):
        def weight(name, trainable):
            spec = self.specs[self.node[name]]
            how = initializer(spec)
            return self.add_weight(name=name, shape=spec["shape"], initializer=how, trainable=trainable)

        vector = shape[-1:]
        self.gamma = weight("gamma", True) if "gamma" in self.node else tf.ones(vector)
        self.beta = weight("beta", True) if "beta" in self.node else tf.zeros(vector)
        self.mean = weight("movingMean", False)
        self.variance = weight("movingVariance", False)
        self.momentum = self.specs[self.node["movingMean"]]["momentum"]

    def call(self, x, training=False):
        moving = {} if training else {"mean": self.mean, "variance": self.variance}
        y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            x, self.gamma, self.beta, epsilon=self.node["epsilon"], is_training=training, **moving
        )
        if training:
            self.mean.assign(self.momentum * self.mean + (1 - self.momentum) * mean)
            self.variance.assign(self.momentum * self.variance + (1 - self.momentum) * variance)
        return y


def initializer(spec):
    how = spec["initializer"]
    kind = how["kind"]
    kinds = keras.initializers
    if kind == "constant":
        return kinds.Constant(how["value"])
    if kind == "uniform":
        return kinds.RandomUniform(how["low"], how["high"])
    if kind == "normal":
        return (kinds.TruncatedNormal if how["truncated"] else kinds.RandomNormal)(how["mean"], how["deviation"])
    if kind == "varianceScaling":
        mode = {"fanIn": "fan_in", "fanOut": "fan_out", "fanAverage": "fan_avg"}[how["mode"]]
        distribution = {"uniform": "uniform", "normal": "untruncated_normal", "truncatedNormal": "truncated_normal"}
        return kinds.VarianceScaling(how["scale"], mode, distribution[how["distribution"]])
    raise SystemExit(f"Keras is not told how to draw initial values: {kind}")


def window(node, size):
    """Keras' words for a window; where it pads, Lockstep's numbers are those of `same`."""
    of = node["window"]
    padding = "same" if any(of["padding"].values()) else "valid"
    return {size: of["size"], "strides": of["strides"], "padding": padding}


def layer(node, specs):
    """The layer of a node that has one input."""
    kind = node["kind"]
    biased = {"use_bias": "bias" in node}
    if "bias" in node:
        biased["bias_initializer"] = initializer(specs[node["bias"]])
    if kind == "dense":
        kernel = specs[node["kernel"]]
        return layers.Dense(kernel["shape"][1], kernel_initializer=initializer(kernel), **biased)
    if kind == "conv2d":
        kernel = specs[node["kernel"]]
        settings = window(node, "kernel_size") | biased
        return layers.Conv2D(kernel["shape"][3], kernel_initializer=initializer(kernel), **settings)
    if kind == "depthwiseConv2d":
        kernel = specs[node["kernel"]]
        settings = window(node, "kernel_size") | biased
        multiplier = kernel["shape"][3]
        return layers.DepthwiseConv2D(
            depth_multiplier=multiplier, depthwise_initializer=initializer(kernel), **settings
        )
    if kind == "maxPool":
        return layers.MaxPooling2D(**window(node, "pool_size"))
    if kind == "averagePool":
        return layers.AveragePooling2D(**window(node, "pool_size"))
    if kind == "globalAveragePool":
        return layers.GlobalAveragePooling2D(keepdims=len(node["shape"]) == 3)
    if kind == "reshape":
        return layers.Flatten() if len(node["shape"]) == 1 else layers.Reshape(node["shape"])
    if kind == "activation":
        name = node["activation"]
        return layers.ReLU() if name == "relu" else layers.Activation(ACTIVATIONS.get(name, name))
    if kind == "dropout":
        return layers.Dropout(node["rate"])
    if kind == "batchNorm":
        # The fused operation is for pictures.
        if len(node["shape"]) == 3:
            return FusedNormalization(node, specs)
        momentum = specs[node["movingMean"]]["momentum"]
        scales = {"center": "beta" in node, "scale": "gamma" in node}
        return layers.BatchNormalization(momentum=momentum, epsilon=node["epsilon"], **scales)
    if kind == "zeroPad":
        sides = node["padding"]
        return layers.ZeroPadding2D(((sides["top"], sides["bottom"]), (sides["left"], sides["right"])))
    raise SystemExit(f"Keras is not told how to build the layer {node['id']}: {kind}")


def read_network(path):
    with open(path) as file:
        description = json.load(file)
    specs = {spec["name"]: spec for spec in description["parameters"]}
    values = {}
    for node in description["nodes"]:
        inputs = [values[name] for name in node["inputs"]]
        if node["kind"] == "input":
            value = picture = layers.Input(node["shape"])
        elif node["kind"] == "add":
            value = layers.Add()(inputs)
        elif node["kind"] == "concatenate":
            value = layers.Concatenate(axis=node["axis"] + 1)(inputs)
        else:
            value = layer(node, specs)(inputs[0])
        values[node["id"]] = value
    return keras.Model(picture, values[description["logits"]])
