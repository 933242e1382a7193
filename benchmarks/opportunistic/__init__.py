"""What `opportunistic` keeps, risks and costs on its own histories (design 2.11).

    python -m benchmarks.opportunistic.closed_loop …   streams of chat, mathematics and code, against other policies
    python -m benchmarks.opportunistic.frontier …      GSM8K's score against the share of tokens transmitted

Both decode one token after another (`Device.generate_path`), so that nothing depends on a clock, keep what is decoded
in a file, and go on with it when they are begun again.
"""
