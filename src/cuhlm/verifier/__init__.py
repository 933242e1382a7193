"""The verifier: `session` judges, `batching` shares the target among sessions, `server` talks gRPC."""
