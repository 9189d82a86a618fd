"""
A network as Lockstep describes it, in PyTorch: the same layers, the same initial distributions, logits at the end.

Lockstep reads the topology (Keras' JSON) and hands over what it made of it: nodes with their shapes and windows, and
parameters with their shapes and initializers. Pictures are [height, width, channels] there, and [channels, height, width]
here, so kernels have their dimensions in another order; `load_parameters` and `flat_gradient` translate.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from layers import (
    ACTIVATIONS,
    AveragePool,
    Convolution,
    Dense,
    MaxPool,
    Normalization,
    Unsupported,
    channels_first,
    channels_last,
)

#: Deviation of a unit normal that is truncated at two deviations; Keras divides by it to keep the variance.
TRUNCATED_DEVIATION = 0.87962566103423978

#: Nodes whose backward pass needs the output no more: an activation may overwrite it.
OVERWRITABLE = {"dense", "conv2d", "depthwiseConv2d", "batchNorm", "maxPool", "add"}


def fans(shape):
    if len(shape) < 2:
        return shape[0], shape[0]
    field = math.prod(shape[:-2])
    return field * shape[-2], field * shape[-1]


def initialize(tensor, spec):
    """Draws from Keras' distribution. @param spec of the parameter, with its shape as Keras has it"""
    how = spec["initializer"]
    kind = how["kind"]
    with torch.no_grad():
        if kind == "constant":
            tensor.fill_(how["value"])
        elif kind == "uniform":
            tensor.uniform_(how["low"], how["high"])
        elif kind == "normal":
            draw_normal(tensor, how["mean"], how["deviation"], how["truncated"])
        elif kind == "varianceScaling":
            fan_in, fan_out = fans(spec["shape"])
            fan = {"fanIn": fan_in, "fanOut": fan_out, "fanAverage": (fan_in + fan_out) / 2}[how["mode"]]
            variance = how["scale"] / max(1, fan)
            if how["distribution"] == "uniform":
                limit = math.sqrt(3 * variance)
                tensor.uniform_(-limit, limit)
            else:
                truncated = how["distribution"] == "truncatedNormal"
                deviation = math.sqrt(variance) / (TRUNCATED_DEVIATION if truncated else 1)
                draw_normal(tensor, 0, deviation, truncated)
        else:
            raise Unsupported(f"the initializer {kind}")


def draw_normal(tensor, mean, deviation, truncated):
    if truncated:
        nn.init.trunc_normal_(tensor, mean, deviation, mean - 2 * deviation, mean + 2 * deviation)
    else:
        tensor.normal_(mean, deviation)


class Network(nn.Module):
    """
    @param description nodes, logits and parameters, as `describeNetwork` of @lockstep/bench writes them
    @param around see Windowed
    """

    def __init__(self, description, around=True):
        super().__init__()
        self.nodes = {node["id"]: node for node in description["nodes"]}
        self.specs = {spec["name"]: spec for spec in description["parameters"]}
        self.readers = {name: [] for name in self.nodes}
        for node in self.nodes.values():
            for name in node["inputs"]:
                self.readers[name].append(node)
        self.layers = nn.ModuleList()
        #: Of each parameter by Lockstep's name: PyTorch's tensor, and the node that has it.
        self.places = {}
        numbers = {name: number for number, name in enumerate(self.nodes)}
        self.plan = [
            (self.function(node, around), [numbers[name] for name in node["inputs"]])
            for node in self.nodes.values()
            if node["kind"] != "input"
        ]
        self.logits = numbers[description["logits"]]
        for name, spec in self.specs.items():
            initialize(self.places[name][0], spec)

    def forward(self, x):
        """@param x pictures [n, channels, height, width], scaled to 0 to 1"""
        values = [x]
        for function, sources in self.plan:
            values.append(function(*[values[source] for source in sources]))
        return values[self.logits]

    def function(self, node, around):
        """What computes a node from its inputs."""
        kind = node["kind"]
        if kind == "activation":
            return self.activation(node)
        if kind == "reshape":
            return self.reshape(node)
        if kind == "add":
            return lambda first, *others: sum(others, start=first)
        if kind == "concatenate":
            # Of the shape without batch to the one with it, and pictures have their channels in front.
            axis = [2, 3, 1][node["axis"]] if len(node["shape"]) == 3 else node["axis"] + 1
            return lambda *parts: torch.cat(parts, axis)
        if kind == "zeroPad":
            padding = [node["padding"][side] for side in ("left", "right", "top", "bottom")]
            return lambda x: F.pad(x, padding)
        if kind == "globalAveragePool":
            keepdims = len(node["shape"]) == 3
            return lambda x: x.mean((2, 3), keepdim=keepdims)
        layer = self.layer(node, around)
        self.layers.append(layer)
        tensors = {
            "kernel": "weight",
            "bias": "bias",
            "gamma": "weight",
            "beta": "bias",
            "movingMean": "running_mean",
            "movingVariance": "running_var",
        }
        for ours, theirs in tensors.items():
            if ours in node:
                self.places[node[ours]] = (getattr(layer, theirs), node)
        return layer

    def layer(self, node, around):
        kind = node["kind"]
        if kind == "dense":
            inputs, units = self.specs[node["kernel"]]["shape"]
            return Dense(inputs, units, bias="bias" in node)
        if kind in ("conv2d", "depthwiseConv2d"):
            return Convolution(node, around, self.specs[node["kernel"]]["shape"], kind != "conv2d")
        if kind == "maxPool":
            return MaxPool(node, around)
        if kind == "averagePool":
            return AveragePool(node, around)
        if kind == "dropout":
            return nn.Dropout(node["rate"])
        if kind == "batchNorm":
            return Normalization(node, self.specs)
        raise Unsupported(f"layer {node['id']}: {kind}")

    def activation(self, node):
        name = node["activation"]
        if name not in ACTIVATIONS:
            raise Unsupported(f"the activation {name}")
        (source,) = node["inputs"]
        alone = len(self.readers[source]) == 1 and self.nodes[source]["kind"] in OVERWRITABLE
        in_place = {"relu": F.relu_, "relu6": nn.ReLU6(inplace=True)}
        return in_place[name] if alone and name in in_place else ACTIVATIONS[name]

    def reshape(self, node):
        shape = node["shape"]
        if self.is_free(node):
            return lambda x: x.flatten(1)
        return lambda x: channels_first(channels_last(x).reshape(-1, *shape))

    def is_free(self, node):
        """
        Whether a picture may become a vector in PyTorch's order, without a copy: when only dense layers look at it, whose
        rows can then stand in the same order. What else reads it must not mind the order.
        """

        def minds(name):
            return not self.readers[name] or any(map(reader_minds, self.readers[name]))

        def reader_minds(reader):
            if reader["kind"] == "dense":
                return False
            passes_on = reader["kind"] in ("activation", "dropout") and reader.get("activation") != "softmax"
            return not passes_on or minds(reader["id"])

        before = self.nodes[node["inputs"][0]]["shape"]
        return len(before) == 3 and len(node["shape"]) == 1 and not minds(node["id"])

    def picture_before(self, node):
        """Shape of the picture whose pixels, in PyTorch's order, are the inputs of a dense node; None for any other."""
        source = self.nodes[node["inputs"][0]]
        while source["kind"] in ("activation", "dropout"):
            source = self.nodes[source["inputs"][0]]
        if source["kind"] == "reshape" and self.is_free(source):
            return self.nodes[source["inputs"][0]]["shape"]
        return None

    def to_keras(self, name, tensor):
        """A parameter, or its gradient, with dimensions as Lockstep has them."""
        _, node = self.places[name]
        kind = node["kind"]
        if name != node.get("kernel"):
            return tensor
        if kind == "dense":
            picture = self.picture_before(node)
            if picture is None:
                return tensor.t()
            height, width, channels = picture
            return tensor.view(-1, channels, height, width).permute(2, 3, 1, 0).reshape(-1, len(tensor))
        if kind == "depthwiseConv2d":
            height, width, channels, multiplier = self.specs[name]["shape"]
            return tensor.view(channels, multiplier, height, width).permute(2, 3, 0, 1)
        return tensor.permute(2, 3, 1, 0)

    def load_parameters(self, flat):
        """@param flat all parameters in Lockstep's order, as a tensor"""
        for name, (tensor, _) in self.places.items():
            spec = self.specs[name]
            values = flat[spec["offset"] : spec["offset"] + spec["size"]]
            # Where each value belongs, found by sending their numbers the other way.
            numbers = torch.arange(spec["size"]).view_as(tensor)
            places = self.to_keras(name, numbers).reshape(-1)
            with torch.no_grad():
                tensor.view(-1)[places] = values

    def flat_gradient(self):
        """The gradient in Lockstep's order, for the weights alone."""
        weights = [name for name, spec in self.specs.items() if spec["kind"] == "weight"]
        return torch.cat([self.to_keras(name, self.places[name][0].grad).reshape(-1) for name in weights])

    def decaying(self):
        """The weights to which weight decay applies, and those to which it does not."""
        tensors = {True: [], False: []}
        for name, spec in self.specs.items():
            if spec["kind"] == "weight":
                tensors[spec["decays"]].append(self.places[name][0])
        return tensors[True], tensors[False]

    def matrices(self):
        """Kernels of two columns and more, which an optimizer may update each as a whole."""
        names = [name for name, spec in self.specs.items() if spec["decays"] and spec["shape"][1:] and spec["shape"][-1] > 1]
        for name in names:
            if self.places[name][1]["kind"] == "depthwiseConv2d":
                raise Unsupported(f"orthogonal updates of {name}, whose columns are not outputs here")
        return [self.places[name][0] for name in names]

    def num_parameters(self):
        """Weights and moving statistics, as Lockstep counts; PyTorch's count of batches is neither."""
        buffers = (buffer for name, buffer in self.named_buffers() if not name.endswith("num_batches_tracked"))
        return sum(tensor.numel() for tensor in [*self.parameters(), *buffers])
