"""The simulated network: rates, named channels, compute times, a virtual clock, and the bill of a trace."""
