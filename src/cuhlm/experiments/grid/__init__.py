"""A declarative grid: what to run, each answer decoded once and kept, and bills for any channel.

spec      what a TOML file asks for
cells     the grid's cells, each a method with its numbers under one sampling
run       decodes what is not there yet, in several processes; a finished answer's file is the sign that it is done
worker    one answer, calibration or walk, in one of these processes
traces    records as Parquet files, one row per token
positions    what a draft would have met with at each position of the target's own text
replay    traces billed for every channel and compute table
"""
