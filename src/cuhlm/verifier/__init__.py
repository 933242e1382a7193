"""The verifier: `session` judges, `host` joins sessions to the target, `server` talks gRPC."""
