"""
One run of a recipe in PyTorch on all cores, eager mode. `lockstep bench accuracy` starts it.

The job is JSON on standard input: see torch-job.ts. The program answers with lines of JSON: `ready` before the clock starts,
`epoch` after each evaluation, `alive` every other second between them, `done` at the end; or `refused`, with a reason, when
PyTorch cannot do what the job asks for. When nobody is there to read them, it ends.
"""

import copy
import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F

from layers import Unsupported
from muon import Muon
from network import Network
from pictures import Augmenter, load, scaled

#: Between two signs of life, in seconds.
ALIVE_EVERY = 2
TEST_BATCH = 1000
#: Steps with each memory layout, in turns, to find the faster one; the first ones do not count.
TRIAL_ROUNDS = 6
TRIAL_WARM_UP = 2


def send(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


class Pulse:
    """Tells now and then that work goes on; fails, and so ends the program, when whoever started it is no more."""

    def __init__(self):
        self.last = time.perf_counter()

    def beat(self, **position):
        now = time.perf_counter()
        if now - self.last >= ALIVE_EVERY:
            self.last = now
            send("alive", **position)


def make_optimizer(net, settings):
    """
    Weight decay is decoupled and for kernels alone. AdamW without decay is Adam; PyTorch's SGD has no decoupled decay, so
    `decay_for_sgd` does it.
    """
    decayed, others = net.decaying()
    name = settings["name"]
    if name in ("adam", "adamw"):
        return adamw(decayed, others, settings)
    if name == "muon":
        matrices = net.matrices()
        among = {id(matrix) for matrix in matrices}
        vectors = [tensor for tensor in decayed if id(tensor) not in among]
        return Muon(matrices, adamw(vectors, others, settings), settings)
    if name == "sgd":
        momentum = settings["momentum"]
        nesterov = settings["nesterov"] and momentum > 0
        return fused(torch.optim.SGD, decayed + others, lr=0.0, momentum=momentum, nesterov=nesterov)
    raise Unsupported(f"the optimizer {name}")


def adamw(decayed, others, settings):
    decays = [settings["weightDecay"], 0.0]
    groups = [{"params": list_, "weight_decay": decay} for list_, decay in zip([decayed, others], decays) if list_]
    betas = (settings["beta1"], settings["beta2"])
    return fused(torch.optim.AdamW, groups, lr=0.0, betas=betas, eps=settings["epsilon"])


def fused(kind, parameters, **settings):
    try:
        return kind(parameters, fused=True, **settings)
    except (RuntimeError, TypeError):
        return kind(parameters, foreach=True, **settings)


def update(net, optimizer, settings, rate):
    """One step along the gradients that the weights have."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    if settings["name"] == "sgd":
        decay_for_sgd(net, rate * settings["weightDecay"])
    optimizer.step()


def decay_for_sgd(net, decay):
    decayed, _ = net.decaying()
    if decay > 0:
        with torch.no_grad():
            torch._foreach_mul_(decayed, 1 - decay)


class Average:
    """Exponential moving average of weights and batch statistics, warmed up as Lockstep's."""

    def __init__(self, net, decay):
        self.decay = decay
        self.net = copy.deepcopy(net)
        self.of = self.tensors(net)
        self.own = self.tensors(self.net)

    @staticmethod
    def tensors(net):
        return [tensor.detach() for tensor in [*net.parameters(), *net.buffers()] if tensor.is_floating_point()]

    def update(self, step):
        """@param step updates made before this one"""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.own, self.of, 1 - decay)


class Run:
    def __init__(self, job):
        self.job = job
        torch.manual_seed(job["seed"])
        pictures, self.labels = load(job["dataDir"], "train", job["limitTrain"])
        self.test_pictures, self.test_labels = load(job["dataDir"], "t10k", job["limitTest"])
        self.augmenter = Augmenter(pictures, job["flip"], job["shift"], job["erase"])
        self.smoothing = job["labelSmoothing"]
        self.pulse = Pulse()
        net = Network(job["network"])
        self.layout = self.faster_layout(net)
        self.net = net.to(memory_format=self.layout)
        self.optimizer = make_optimizer(net, job["optimizer"])
        self.average = Average(net, job["ema"]) if job["ema"] > 0 else None
        self.step = 0

    def faster_layout(self, net):
        """A short trial on copies: which of PyTorch's memory layouts is faster depends on network and machine."""
        layouts = [torch.contiguous_format, torch.channels_last]
        if not any(tensor.dim() == 4 for tensor in net.parameters()):
            return layouts[0]
        copies = [copy.deepcopy(net).to(memory_format=layout) for layout in layouts]
        self.augmenter.begin_epoch()
        some = torch.arange(min(self.job["batchSize"], len(self.labels)))
        seconds = [[], []]
        for _ in range(TRIAL_ROUNDS):
            for copied, layout, times in zip(copies, layouts, seconds):
                started = time.perf_counter()
                self.backward(copied, some, layout)
                times.append(time.perf_counter() - started)
                self.pulse.beat()
        medians = [statistics.median(times[TRIAL_WARM_UP:]) for times in seconds]
        return layouts[medians.index(min(medians))]

    def backward(self, net, indices, layout):
        net.zero_grad(set_to_none=True)
        logits = net(scaled(self.augmenter.batch(indices), layout))
        F.cross_entropy(logits, self.labels[indices], label_smoothing=self.smoothing).backward()

    def epoch(self, number):
        self.net.train()
        self.augmenter.begin_epoch()
        for indices in torch.randperm(len(self.labels)).split(self.job["batchSize"]):
            rate = self.job["learningRates"][self.step]
            self.backward(self.net, indices, self.layout)
            update(self.net, self.optimizer, self.job["optimizer"], rate)
            if self.average:
                self.average.update(self.step)
            self.step += 1
            self.pulse.beat(epoch=number)

    def views(self, images):
        """Pictures as they are, mirrored, and both moved up-left and down-right: what counts is the mean."""
        by = self.job["testShift"]
        for mirrored in [images, images.flip(-1)] if self.job["testFlip"] else [images]:
            yield mirrored
            if by > 0:
                yield F.pad(mirrored, (-by, by, -by, by))
                yield F.pad(mirrored, (by, -by, by, -by))

    @torch.inference_mode()
    def accuracy(self, plain):
        net = (self.average.net if self.average else self.net).eval()
        correct = 0
        for pictures, labels in zip(self.test_pictures.split(TEST_BATCH), self.test_labels.split(TEST_BATCH)):
            images = scaled(pictures, self.layout)
            views = [images] if plain else self.views(images)
            outputs = sum(net(view).softmax(1) for view in views)
            correct += (outputs.argmax(1) == labels).sum().item()
            self.pulse.beat()
        return correct / len(self.test_labels)


def main():
    job = json.load(sys.stdin)
    try:
        run = Run(job)
    except Unsupported as error:
        send("refused", reason=f"it cannot build {error}")
        return
    layout = str(run.layout).removeprefix("torch.").removesuffix("_format")
    parameters = run.net.num_parameters()
    send("ready", torch=torch.__version__, threads=torch.get_num_threads(), layout=layout, parameters=parameters)
    started = time.perf_counter()
    for number in range(1, job["epochs"] + 1):
        run.epoch(number)
        # As Lockstep does: several views of each picture are for the end.
        accuracy = run.accuracy(plain=number < job["epochs"])
        send("epoch", epoch=number, seconds=time.perf_counter() - started, accuracy=accuracy)
    send("done")


if __name__ == "__main__":
    main()
