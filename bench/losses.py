"""How much faster is the Lovász loss than its authors' code? Value and gradient for 8 x 256 x 256 pixels, CPU.

The other side is the PyTorch code published with the paper (Berman et al., CVPR 2018; MIT), restated below: ignored
pixels are cut out, errors are sorted differentiably, weights are differences of Jaccard losses. Both sides run in turn
on the same labels (smooth regions, 2 % ignored) and logits (right for most pixels): the hinge for one class and the
softmax loss for three classes and background. The least time of each counts, since other work on a machine only adds to
it, and the ratio is the lower of the two. The result also tells what each part of the loss costs a training step.

    python bench/losses.py [--threads 2] [--at-least 3] [--json FILE]
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from maskmill.files import write_json
from maskmill.losses import boundary_loss, cross_entropy_loss, lovasz_loss, soft_dice_loss

SAMPLES, SIDE, CLASSES, REPEATS = 8, 256, 3, 30


def random_case(outputs: int) -> tuple[Tensor, Tensor]:
    """Logits and labels of as many values, two for one logit; smooth, so that regions have edges."""
    rng = np.random.default_rng(0)
    values = max(2, outputs)
    noise = rng.normal(size=(2, SAMPLES, values, SIDE, SIDE))
    truth, doubt = torch.from_numpy(ndimage.gaussian_filter(noise, (0, 0, 0, 6, 6)) * 20).float()
    labels = truth.argmax(dim=1)
    labels[torch.from_numpy(rng.random(labels.shape) < 0.02)] = 255
    logits = 4 * truth + 2 * doubt
    return (logits[:, 1:] - logits[:, :1] if outputs == 1 else logits).requires_grad_(), labels


def authors_weights(reference: Tensor) -> Tensor:
    """`lovasz_grad` of the paper's code: differences of the Jaccard losses along a sorted reference (P,)."""
    size = reference.sum()
    intersection = size - reference.float().cumsum(0)
    union = size + (1 - reference).float().cumsum(0)
    jaccard = 1 - intersection / union
    jaccard[1:] = jaccard[1:] - jaccard[:-1]
    return jaccard


def authors_hinge(logits: Tensor, labels: Tensor) -> Tensor:
    """`lovasz_hinge` of the paper's code, all pictures together."""
    scores, labels = logits.view(-1), labels.view(-1)
    valid = labels != 255
    scores, labels = scores[valid], labels[valid]
    errors, order = torch.sort(1 - scores * (2.0 * labels.float() - 1), dim=0, descending=True)
    return torch.dot(F.relu(errors), authors_weights(labels[order]))


def authors_softmax(logits: Tensor, labels: Tensor) -> Tensor:
    """`lovasz_softmax` of the paper's code, all pictures together, over the classes that the labels show."""
    probabilities = torch.softmax(logits, dim=1).permute(0, 2, 3, 1).contiguous().view(-1, logits.shape[1])
    valid = (labels.view(-1) != 255).nonzero().squeeze()
    probabilities, labels = probabilities[valid], labels.view(-1)[valid]
    losses = []
    for value in range(probabilities.shape[1]):
        reference = (labels == value).float()
        if reference.sum() > 0:
            errors, order = torch.sort((reference - probabilities[:, value]).abs(), dim=0, descending=True)
            losses.append(torch.dot(errors, authors_weights(reference[order])))
    return torch.stack(losses).mean()


def seconds(loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, labels: Tensor) -> float:
    """Time of one value and its gradient."""
    start = time.perf_counter()
    torch.autograd.grad(loss(logits, labels), logits)
    return time.perf_counter() - start


def least_times(losses: dict[str, Callable[[Tensor, Tensor], Tensor]], case: tuple[Tensor, Tensor]) -> dict[str, float]:
    """Milliseconds of each loss, which run in turn."""
    times = [{name: seconds(loss, *case) for name, loss in losses.items()} for _ in range(REPEATS)]
    return {name: min(run[name] for run in times) * 1000 for name in losses}


def compare(threads: int) -> dict[str, object]:
    """The figures of both sides; an error where their values differ."""
    torch.set_num_threads(threads)
    parts = {
        "cross_entropy": cross_entropy_loss,
        "cross_entropy_hardest_quarter": lambda logits, labels: cross_entropy_loss(logits, labels, 0.25),
        "dice": soft_dice_loss,
        "lovasz": lovasz_loss,
        "lovasz_per_sample": lambda logits, labels: lovasz_loss(logits, labels, True),
        "boundary": boundary_loss,
    }
    least, ratios = {}, {}
    for name, outputs, authors in [("hinge", 1, authors_hinge), ("softmax", CLASSES + 1, authors_softmax)]:
        case = random_case(outputs)
        ours, theirs = lovasz_loss(*case).item(), authors(*case).item()
        if abs(ours - theirs) > 1e-3 * theirs:
            raise SystemExit(f"the values of the two sides differ: {ours} and {theirs}")
        least[name] = least_times(parts | {"authors_lovasz": authors}, case)
        ratios[name] = least[name]["authors_lovasz"] / least[name]["lovasz"]
    return {
        "ratio": min(ratios.values()),
        "ratios": ratios,
        "least_ms": least,
        "pixels": [SAMPLES, SIDE, SIDE],
        "repeats": REPEATS,
        "threads": threads,
        "versions": f"Python {platform.python_version()}, torch {torch.__version__}, NumPy {np.__version__}",
        "machine": platform.machine(),
        "processor": processor(),
    }


def processor() -> str:
    """The processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def main() -> int:
    """Compare and print the ratio; 1 below --at-least."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--at-least", type=float, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    figures = compare(given.threads)
    if given.json:
        write_json(given.json, figures)
    print(json.dumps(figures["least_ms"], indent=2))
    ours, theirs = (
        " and ".join(f"{least[side]:.1f}" for least in figures["least_ms"].values())
        for side in ("lovasz", "authors_lovasz")
    )
    print(
        f"losses: ratio={figures['ratio']:.1f} (ours {ours} ms for hinge and softmax, theirs {theirs} ms, "
        f"hardware {figures['processor']}, {figures['threads']} threads)"
    )
    return int(figures["ratio"] < given.at_least)


if __name__ == "__main__":
    sys.exit(main())
