"""The mathematics of design 2, as pure functions over arrays: no model, no socket, no clock, no global random state.

    randomness      (seed, position, purpose) → numbers              2.6
    distributions   logits → x, y                                    2.1
    uncertainty     logits, d → u                                    2.3
    rejection       calibration tokens → a, b; u → β̂; thresholds     2.4
    truncation      x, β̂ → k; k entries → x̂                          2.5
    verification    draw d and its law; judge d against y            2.2
    quality         the law that came out, against y                 2.9

`x` (in code ``draft_probs``) is the draft's next-token distribution, `y` (``target_probs``) the target's, `q` a law
that a draft was drawn from or is believed to be drawn from.
"""
