"""Engines: loaded models that read tokens and return logits. `base` is the seam, `llama_cpp` the default.

base               what an engine is: sequences that read tokens, and forward passes over many of them
load, locate       from a model reference to an engine, and to its file
llama_cpp          any GGUF file: keeps the books of places and lengths
  llama_context    its forward passes and cache; gguf_model, gguf_tokenizer: its file
  libllama         the library's declarations; libllama_file: finding it
  batch_invariance whether a position's logits depend on what else is in the pass
batching           for more than one generation: one thread owns a model, what waits together shares a pass
  model_thread     that thread, and its sequences; flows: what it runs
recalling          for many answers to one prompt: each forward pass is made once
fingerprints       whether two sides hold one vocabulary, or the same weights
chat_template      messages to the prompt that the model was trained on
cores              how many cores a model may keep busy
"""
