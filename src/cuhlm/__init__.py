"""cuhlm: decoding with a small language model on a device and a large one behind a bad network."""
