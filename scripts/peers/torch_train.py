"""PyTorch in one process with as many threads as it takes by default: training with Adam, eager mode."""

import torch

from lines import serve
from torch_training import Trainer, parse_options

trainer = Trainer(parse_options(__doc__))
serve({"threads": torch.get_num_threads()}, trainer.timed_epoch)
