"""
Loss and gradient of networks in PyTorch, for weights and pictures that Lockstep chose: a test compares the two. Jobs come one
a line on standard input, answers leave one a line.
"""

import json
import sys

sys.path.insert(0, sys.argv[1])

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

from network import Network  # noqa: E402

for line in sys.stdin:
    job = json.loads(line)
    net = Network(job["network"], around=False)
    net.load_parameters(torch.tensor(job["parameters"]))
    net = net.to(memory_format=getattr(torch, job["layout"]))
    height, width, channels = job["network"]["inputShape"]
    pictures = torch.tensor(job["pictures"]).view(-1, height, width, channels).permute(0, 3, 1, 2) / 255
    labels = torch.tensor(job["labels"])
    with torch.no_grad():
        evaluated = F.cross_entropy(net.eval()(pictures), labels, reduction="sum").item()
    logits = net.train()(pictures)
    loss = F.cross_entropy(logits, labels, reduction="sum", label_smoothing=job["labelSmoothing"])
    loss.backward()
    answer = {
        "evaluated": evaluated,
        "loss": loss.item(),
        "gradient": net.flat_gradient().tolist(),
        "parameters": net.num_parameters(),
    }
    print(json.dumps(answer), flush=True)
