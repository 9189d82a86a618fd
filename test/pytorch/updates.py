"""
Updates by the optimizers of `lockstep bench accuracy`, for weights and gradients that Lockstep chose: a test compares the two.
Jobs come one a line on standard input, answers leave one a line.
"""

import copy
import json
import sys

sys.path.insert(0, sys.argv[1])

import torch  # noqa: E402

from network import Network  # noqa: E402
from train_recipe import make_optimizer, update  # noqa: E402

for line in sys.stdin:
    job = json.loads(line)
    net = Network(job["network"])
    net.load_parameters(torch.tensor(job["parameters"]))
    optimizer = make_optimizer(net, job["optimizer"])
    bearer = copy.deepcopy(net)
    for gradient in job["gradients"]:
        bearer.load_parameters(torch.tensor(gradient))
        for own, given in zip(net.parameters(), bearer.parameters()):
            own.grad = given.detach().clone()
        update(net, optimizer, job["optimizer"], job["learningRate"])
    weights = [net.to_keras(name, net.places[name][0]).reshape(-1) for name, spec in net.specs.items() if spec["kind"] == "weight"]
    print(json.dumps(torch.cat(weights).tolist()), flush=True)
