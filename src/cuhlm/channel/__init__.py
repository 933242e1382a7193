"""The simulated network: rates and rate traces, named channels, compute tables, a virtual clock, and bills."""
