"""What a benchmark ran on, for its results."""

from __future__ import annotations

import os
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the experiments are not installed

from experiments.processor import processor

__all__ = ["machine", "machine_in_words", "processor"]


def machine(device: str) -> dict[str, Any]:
    """What ran, and when."""
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def machine_in_words(known: dict[str, Any]) -> str:
    """The same for people; of older results only what they know.

    Args:
        known: what :func:`machine` returned.
    """
    forms = {
        "date": "{}",
        "processor": "{}",
        "cores": "{} cores",
        "device": "on {}",
        "torch": "torch {}",
        "threads": "threads: {}",
    }
    return ", ".join(form.format(known[key]) for key, form in forms.items() if key in known)
