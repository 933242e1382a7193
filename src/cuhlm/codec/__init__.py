"""Payload to bytes and back: `base` is the seam, `fixed_width` the paper's code, `find` knows names."""
