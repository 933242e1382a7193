"""How a package is installed here, for messages."""

import shlex
from importlib.util import find_spec


def how_to_install(*packages: str, options: str = "") -> str:
    """The command that installs `packages`: pip's, or uv's where the environment has no pip, as those that uv makes."""
    installer = "pip install" if find_spec("pip") else "uv pip install"
    quoted = (f'"{package}"' if "[" in package else shlex.quote(package) for package in packages)
    return " ".join(filter(None, (installer, options, *quoted)))
