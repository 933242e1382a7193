"""The names of the service's calls, as `verifier.proto` defines them.

Both sides register calls by name, so no stubs beyond the message classes are generated.
"""

from cuhlm.wire import verifier_pb2 as pb

SERVICE: str = pb.DESCRIPTOR.services_by_name["Verifier"].full_name
DESCRIBE = f"/{SERVICE}/Describe"
VOCABULARY = f"/{SERVICE}/Vocabulary"
GENERATE = f"/{SERVICE}/Generate"
