"""What computing costs in a bill: as this run measured it, or by a named table (design 2.8)."""

from dataclasses import dataclass

from cuhlm.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class ComputeTable:
    """Seconds per step; None takes what the run itself measured.

    Attributes:
        name: as on the command line.
        draft_seconds: one forward pass of the draft model.
        target_seconds: one of the target.
        source: where the numbers come from.
        arithmetic_seconds: what the device computes beside each forward pass: sampling, gate, truncation, encoding.
        target_row_seconds: what each further position adds to a pass of the target; None takes as much as a pass, as
            where arithmetic and not memory bounds it.
    """

    name: str
    draft_seconds: float | None
    target_seconds: float | None
    source: str
    arithmetic_seconds: float | None = None
    target_row_seconds: float | None = None


MEASURED = ComputeTable("measured", None, None, "the stage times of the trace itself")

COMPUTE_TABLES: dict[str, ComputeTable] = {
    table.name: table
    for table in (
        MEASURED,
        ComputeTable(
            "phone-1b-server-7b",
            0.025,
            0.015,
            "assumed: 1 B parameters in 4 bits at 40 tokens/s on a phone, 7 B at 67 tokens/s on a server GPU, 1 % more "
            "a row; the device's arithmetic as measured in the run. Here drafting cannot pay: the draft is the slower",
            target_row_seconds=0.00015,
        ),
        ComputeTable(
            "phone-0.5b-server-70b",
            0.015,
            0.040,
            "assumed: 0.5 B parameters in 4 bits at 67 tokens/s on a phone, 70 B at 25 tokens/s on server GPUs, 1 % "
            "more a row (one stream is bound by memory); the device's arithmetic as measured in the run",
            target_row_seconds=0.0004,
        ),
        ComputeTable(
            "laptop-1b-server-70b",
            0.010,
            0.040,
            "assumed: 1 B parameters in 4 bits at 100 tokens/s on a laptop, 70 B at 25 tokens/s on server GPUs, 1 % "
            "more a row; the device's arithmetic as measured in the run",
            target_row_seconds=0.0004,
        ),
        ComputeTable(
            "edge-7b-server-70b",
            0.015,
            0.040,
            "assumed: 7 B parameters in 4 bits at 67 tokens/s on an edge GPU, 70 B at 25 tokens/s on server GPUs, 1 % "
            "more a row; the device's arithmetic as measured in the run",
            target_row_seconds=0.0004,
        ),
        ComputeTable(
            "cpu-0.5b-cpu-1.5b",
            1 / 22,
            1 / 12,
            "measured: Qwen2.5-Coder 0.5B and 1.5B, Q4_K_M, llama.cpp on 2 quiet cores, 22 and 12 tokens/s; "
            "5 positions at once took 377 ms where one took 84; the device's arithmetic as measured in the run",
            target_row_seconds=(0.377 - 0.084) / 4,
        ),
        ComputeTable(
            "free",
            0.0,
            0.0,
            "no compute: what the channel alone costs",
            arithmetic_seconds=0.0,
            target_row_seconds=0.0,
        ),
    )
}


def find_compute(name: str) -> ComputeTable:
    """The table called `name`.

    Raises:
        ConfigurationError: there is none of that name.
    """
    try:
        return COMPUTE_TABLES[name]
    except KeyError:
        raise ConfigurationError(
            f"the compute table {name!r} is unknown; expected {', '.join(COMPUTE_TABLES)}"
        ) from None
