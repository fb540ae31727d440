"""Training a network: the loop, its state on disk, optimisation and what it computes with."""

from maskmill.training.member import train_model

__all__ = ["train_model"]
