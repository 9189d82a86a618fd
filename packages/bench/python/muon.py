"""
Muon (Jordan and others, 2024) as Lockstep does it: kernels move along the nearest orthogonal matrix of their momentum, everything
else by AdamW.
"""

import math

import torch

#: Of the polynomial that brings singular values close to 1.
COEFFICIENTS = (3.4445, -4.775, 2.0315)
NUM_ITERATIONS = 5


def orthogonalized(matrix):
    """Newton-Schulz iterations. All are done on the Gram matrix of the shorter side, which takes less work than the textbook's."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.t() if tall else matrix
    x = x / x.norm().clamp(min=1e-30)
    first, second, third = COEFFICIENTS
    gram = x @ x.t()
    identity = torch.eye(len(gram))
    factor = identity
    for _ in range(NUM_ITERATIONS):
        step = first * identity + second * gram + third * (gram @ gram)
        factor = factor @ step
        gram = gram @ step @ step
    x = factor @ x
    return x.t() if tall else x


class Muon:
    """What the training loop needs of an optimizer. @param kernels tensors whose first dimension is that of the outputs"""

    def __init__(self, kernels, adam, settings):
        self.kernels = kernels
        self.adam = adam
        self.momentum = settings["momentum"]
        self.nesterov = settings["nesterov"]
        self.decay = settings["weightDecay"]
        self.velocities = [torch.zeros_like(kernel) for kernel in kernels]

    @property
    def param_groups(self):
        return self.adam.param_groups

    @torch.no_grad()
    def step(self):
        rate = self.param_groups[0]["lr"]
        for kernel, velocity in zip(self.kernels, self.velocities):
            velocity.lerp_(kernel.grad, 1 - self.momentum)
            ahead = velocity.lerp(kernel.grad, 1 - self.momentum) if self.nesterov else velocity
            direction = orthogonalized(ahead.flatten(1))
            size = 0.2 * math.sqrt(max(direction.shape))
            kernel.mul_(1 - rate * self.decay).sub_(direction.reshape(kernel.shape), alpha=rate * size)
        self.adam.step()
