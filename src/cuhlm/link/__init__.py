"""How the device reaches a verifier: `base` is the seam; `in_process`, `grpc`, and `simulated` around either."""
