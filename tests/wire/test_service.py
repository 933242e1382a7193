"""The names under which both sides register the service's calls."""

from cuhlm.wire import verifier_pb2 as pb
from cuhlm.wire.service import DESCRIBE, GENERATE, SERVICE, VOCABULARY


def test_every_call_of_the_proto_has_its_name() -> None:
    calls = pb.DESCRIPTOR.services_by_name["Verifier"].methods
    assert {f"/{SERVICE}/{call.name}" for call in calls} == {DESCRIBE, VOCABULARY, GENERATE}


def test_the_version_is_in_the_name_so_that_another_one_is_another_service() -> None:
    assert SERVICE == "cuhlm.v1.Verifier"
