"""What every benchmark says of its numbers: median, quartiles, n, machine, commit (design 4, rule 7)."""

import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np


def summary(microseconds: Sequence[float]) -> dict[str, float]:
    """Median, quartiles and n of some times."""
    low, median, high = np.quantile(microseconds, (0.25, 0.5, 0.75))
    return {
        "median_us": float(median),
        "quartile_us": float(low),
        "upper_quartile_us": float(high),
        "n": len(microseconds),
    }


def machine() -> dict[str, str]:
    """Processor, versions, and the commit that was measured."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "processor": f"{models[0]} × {len(models)}" if models else platform.processor(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "commit": commit.stdout.strip() or "unknown",
    }
