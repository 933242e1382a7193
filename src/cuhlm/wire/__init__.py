"""The network protocol: `verifier.proto`, the classes made from it when cuhlm is built, and conversions."""
