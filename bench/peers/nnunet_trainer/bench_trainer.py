"""nnU-Net's trainer with a budget of minutes instead of epochs. nnU-Net finds it through nnUNet_extTrainer.

Everything is nnU-Net's own (plans, patches, augmentation, optimiser, loss) but for the length: epochs are short, the
polynomial learning rate follows the time used up, and training ends when BENCH_MINUTES are over.
"""

import json
import os
import time

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

POWER = 0.9


class BenchTrainer(nnUNetTrainer):
    """Trains for BENCH_MINUTES of wall time, counted from the first step on."""

    def __init__(self, plans, configuration, fold, dataset_json, device):  # nnU-Net records these very names
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_iterations_per_epoch = 10
        self.num_val_iterations_per_epoch = 1
        self.num_epochs = 10**6
        self.save_every = 10**6

    def run_training(self):
        """nnU-Net's loop, until time is over."""
        budget = 60 * float(os.environ["BENCH_MINUTES"])
        self.on_train_start()
        started, steps = time.monotonic(), 0
        while (used := time.monotonic() - started) < budget:
            self.on_epoch_start()
            self.on_train_epoch_start()
            for group in self.optimizer.param_groups:
                group["lr"] = self.initial_lr * (1 - used / budget) ** POWER
            outputs = [self.train_step(next(self.dataloader_train)) for _ in range(self.num_iterations_per_epoch)]
            steps += len(outputs)
            self.on_train_epoch_end(outputs)
            with torch.no_grad():
                self.on_validation_epoch_start()
                validated = [self.validation_step(next(self.dataloader_val))]
                self.on_validation_epoch_end(validated)
            self.on_epoch_end()
        self.print_to_log_file(f"BENCH steps {steps} seconds {time.monotonic() - started:.1f}")
        self.on_train_end()

    def perform_actual_validation(self, save_probabilities=False):
        """Left out: the test cases are predicted afterwards."""


class SpeedTrainer(BenchTrainer):
    """Times BENCH_ROUNDS epochs of BENCH_STEPS steps, after one that warms up, with the U-Net of BENCH_MODEL."""

    def __init__(self, plans, configuration, fold, dataset_json, device):  # nnU-Net records these very names
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.enable_deep_supervision = False

    @staticmethod
    def build_network_architecture(*arguments, **named):
        """Maskmill's U-Net: three channels in, background and foreground out."""
        from maskmill.models import build_model

        return build_model(json.loads(os.environ["BENCH_MODEL"]), 3, 2)

    def set_deep_supervision_enabled(self, enabled):
        """The network has none."""

    def run_training(self):
        """Training steps alone, without validation."""
        self.on_train_start()
        seconds = []
        for _ in range(int(os.environ["BENCH_ROUNDS"]) + 1):
            self.network.train()
            started = time.perf_counter()
            for _ in range(int(os.environ["BENCH_STEPS"])):
                self.train_step(next(self.dataloader_train))
            seconds.append(time.perf_counter() - started)
        self.print_to_log_file(f"BENCH shortest epoch {min(seconds[1:]):.3f}")
