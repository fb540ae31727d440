"""Where bf16 on a CPU must not be used.

In torch 2.13 (oneDNN 3.12) on a CPU with AVX-512, the weight gradient in bf16 of a 3D convolution that moves by single
slices is garbage, or never comes, where there are several slices but fewer than the kernel has, such as 2 for a kernel
of 3. All other sizes, 2D and 32 bits are right.
"""

import torch
from torch import Tensor, nn

from maskmill.training.job import Job


def has_thin_volumes(job: Job) -> bool:
    """Whether a convolution of the job's network meets fewer slices than its kernel has, in patches of its size."""
    if job.dimensions == 2:
        return False
    found = []

    def look(convolution: nn.Conv3d, inputs: tuple[Tensor, ...]) -> None:
        found.append(1 < inputs[0].shape[2] < convolution.kernel_size[0])

    with torch.device("meta"):
        network = job.build_network().train()
        for module in network.modules():
            if isinstance(module, nn.Conv3d):
                module.register_forward_pre_hook(look)
        network(torch.empty(2, job.preprocessing.channels, *job.patch))
    return any(found)
