"""Ray Train, its TorchTrainer: a worker with one thread per core, DistributedDataParallel over gloo."""

import os
import tempfile
import threading

import ray
import ray.train.torch
import torch
import torch.distributed as dist
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from ray.util.queue import Queue

import cores
from lines import serve
from torch_ddp import another
from torch_training import Trainer, parse_options


def prepare(net):
    # As in torch_ddp.py.
    ddp = {"gradient_as_bucket_view": True, "forward_sync_buffers": False}
    return ray.train.torch.prepare_model(net, parallel_strategy_kwargs=ddp)


def loop(config):
    """What every worker runs. The first one takes the commands from a queue and tells the others."""
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    cores.pin(rank)
    torch.set_num_threads(1)
    trainer = Trainer(config["options"], rank, world, prepare)
    while another(rank == 0 and config["commands"].get()):
        rate = trainer.timed_epoch()
        if rank == 0:
            config["rates"].put(rate)


def main():
    options = parse_options(__doc__)
    options.data_dir = os.path.abspath(options.data_dir)
    here = os.path.dirname(os.path.abspath(__file__))
    world = len(cores.available())
    with tempfile.TemporaryDirectory() as folder:
        ray.init(
            # The queues and the trainer count as a core each, though they rest.
            num_cpus=world + 4,
            include_dashboard=False,
            log_to_driver=False,
            runtime_env={"env_vars": {"PYTHONPATH": here, "GLOO_SOCKET_IFNAME": cores.LOOPBACK}},
            _temp_dir=folder,
        )
        commands, rates = Queue(), Queue()
        trainer = TorchTrainer(
            loop,
            train_loop_config={"options": options, "commands": commands, "rates": rates},
            torch_config=TorchConfig(backend="gloo"),
            scaling_config=ScalingConfig(num_workers=world),
            run_config=RunConfig(storage_path=os.path.join(folder, "results")),
        )
        training = threading.Thread(target=trainer.fit, daemon=True)
        training.start()

        def block():
            commands.put(True)
            while True:
                try:
                    return rates.get(timeout=5)
                except ray.util.queue.Empty:
                    if not training.is_alive():
                        raise SystemExit("the workers ended early") from None

        serve({"workers": world}, block)
        commands.put(False)
        training.join()
        ray.shutdown()


main()
