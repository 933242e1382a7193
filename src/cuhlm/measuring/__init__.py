"""Numbers about a pair: what both models say on texts, and how far an answer is from what the target would have said.

prompts       prompts and their references, from files
target_text   the target's own answers, with what both models say at every position
calibrate     thresholds, k* and the rejection line of a pair, measured there
agreement     how often a draft's token stands, by both rules of verification
summary       a trace as numbers
quality       the exact distance of a method's law from the target's
scores        a task's own scores
similarity    cosine of sentence embeddings
bootstrap     intervals by resampling whole texts
"""
