"""What a finished grid says: measures with intervals, the headline, ablations, figures, one page.

measures    numbers of a cell, as ratios over prompts
results     all of them for all cells, channels and compute tables: one tidy table
headline    ours beside the paper's own figures
ablations   what the paper leaves open, from the target's own texts and the grid's cells
figures     drawn with matplotlib, one function each
page        the report: one HTML file
"""
