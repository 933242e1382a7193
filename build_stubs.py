"""Build hook: makes the protobuf classes of the wire (`wire/verifier_pb2.py`, `.pyi`) from `verifier.proto`.

Runs in every build, also an editable one, so the classes in use are always those of the .proto in the tree.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class StubsHook(BuildHookInterface):  # type: ignore[type-arg]
    """Runs protoc before files are collected."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 (the hook's signature)
        """Generate the classes beside the .proto."""
        from grpc_tools import protoc  # noqa: PLC0415 (only there while building)

        wire = Path(self.root) / "src" / "cuhlm" / "wire"
        status = protoc.main(
            ["protoc", f"-I{wire}", f"--python_out={wire}", f"--pyi_out={wire}", str(wire / "verifier.proto")]
        )
        if status != 0:
            raise RuntimeError(f"protoc failed with status {status} on {wire / 'verifier.proto'}")
