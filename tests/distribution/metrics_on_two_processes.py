"""Two processes take in half of the samples each: a script of its own, so that nothing else is forked."""

import sys

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from lightning_interactions import Interactions
from lightning_interactions.distribution.metrics import OrderStrength
from lightning_interactions.distribution.similarity import InteractionSimilarity


def work(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    strength = OrderStrength(3, threshold=0.1)
    similarity = InteractionSimilarity(3, n_classes=2)
    for split in ("train", "test"):
        found = Interactions.load(f"{folder}/{split}-{rank}.npz")
        strength.update(found)
        similarity.update(found, split, torch.load(f"{folder}/{split}-{rank}.pt"))
    torch.save([*strength.compute(), similarity.compute()], f"{folder}/result-{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    mp.start_processes(work, (sys.argv[1],), nprocs=2, start_method="fork")
