"""Distillation: a draft for any target, made of the target's own layers and text.

    target.gguf ──► gguf_weights   dequantised                    prompts.jsonl
        │                                                               │
        ├─► layer_choice   which layers the student keeps               │
        ├─► fitting        which neurons of them; fitted to do all work ▼
        │                                            conversation  whose turn it is, and what is given
        ▼                                                               │
    llama          forward pass ──► text   on-policy, with its laws ◄───┘
        ▲                              │   corpus    texts on disk, and which of them a step takes
        │                              ▼
    student        latent weights ◄── training    losses, optimiser, checkpoint
    rounding       as Q4_0 rounds      │
        │                              ▼
        │                          held_out    agreement while it trains ──► history
        ▼
    gguf_student   files ──► shipping   measured in llama.cpp, one kept ──► model_card

`recipe.distill` is the whole; `distillation` the resumable loop; `plan` all numbers. Needs the extra `train`, which no
other part of cuhlm does: only what runs after `recipe` has checked for it imports torch.
"""
