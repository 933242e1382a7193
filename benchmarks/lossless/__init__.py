"""What `lossless` gains, in simulation and on real sockets (design 2.10, 2.12)."""
