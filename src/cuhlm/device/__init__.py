"""The device: drafts, gates, truncates, and asks the verifier; `loop` is the algorithm."""
