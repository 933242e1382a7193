"""`python -m cuhlm` is the command `cuhlm`."""

from cuhlm.cli import main

main()
