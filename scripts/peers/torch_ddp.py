"""PyTorch DistributedDataParallel over gloo: one rank per core, each a process with one thread."""

import os
import tempfile

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

import cores
from lines import serve
from torch_training import Trainer, parse_options


def wrap(net):
    # Gradients live where they are exchanged, and statistics are each rank's own: both save copies and messages.
    return DistributedDataParallel(net, gradient_as_bucket_view=True, forward_sync_buffers=False)


def join(options, rank, world, store):
    # All ranks are on this machine, whose name need not lead back to it.
    os.environ["GLOO_SOCKET_IFNAME"] = cores.LOOPBACK
    cores.pin(rank)
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    return Trainer(options, rank, world, wrap)


def another(wanted):
    """Tells all ranks whether rank 0 wants another epoch."""
    flag = torch.tensor([wanted])
    dist.broadcast(flag, 0)
    return flag.item()


def follow(rank, *place):
    """Every rank but the first."""
    trainer = join(place[0], rank, *place[1:])
    while another(False):
        trainer.epoch()


def main():
    options = parse_options(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        world = len(cores.available())
        place = (options, world, os.path.join(folder, "store"))
        context = mp.get_context("spawn")
        others = [context.Process(target=follow, args=(rank, *place), daemon=True) for rank in range(1, world)]
        for process in others:
            process.start()
        trainer = join(options, 0, *place[1:])

        def block():
            another(True)
            return trainer.timed_epoch()

        serve({"ranks": world}, block)
        another(False)
        for process in others:
            process.join()
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
