"""Engines: loaded models that read tokens and return logits. `base` is the seam, `llama_cpp` the default."""
