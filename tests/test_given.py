"""What a caller gives is taken for what it means, or refused where it is given."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cuhlm.device.device import Device, Request
from cuhlm.device.ending import Limits
from cuhlm.engines.llama_cpp import LlamaCppEngine
from cuhlm.engines.locate import BUILT_IN_DRAFT, locate
from cuhlm.errors import ConfigurationError
from cuhlm.given import number, whole
from cuhlm.link.grpc import GrpcLink, Security
from cuhlm.messages import Sampling
from cuhlm.methods import METHODS, DraftFrom, find_method
from cuhlm.profiles import UncertaintySettings, load_profile
from cuhlm.settings import Settings, settings_for
from cuhlm.testing import ToyEngine
from cuhlm.theory.uncertainty import Measure
from cuhlm.verifier.host import Verifier

HLM = METHODS["hlm"]
DRAFT = locate(BUILT_IN_DRAFT)


def test_a_name_is_taken_for_what_it_names() -> None:
    assert settings_for(HLM, None, draft_from="xhat").draft_from is DraftFrom.XHAT
    assert Settings(HLM, draft_from="xhat").draft_from is DraftFrom.XHAT
    assert UncertaintySettings(measure="margin").measure is Measure.MARGIN


def test_what_numpy_calls_a_number_is_one_and_a_row_of_them_is_a_prompt() -> None:
    request = Request(np.array([1, 2]), Sampling(np.float32(0.5), np.int64(3)), np.uint64(7), Limits(np.int32(4)))
    assert request == Request((1, 2), Sampling(0.5, 3), 7, Limits(4))
    assert all(type(token) is int for token in request.prompt)
    assert Request([1, 2]).prompt == (1, 2)
    assert Limits(stop_strings=["a", "b"]).stop_strings == ("a", "b")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Settings("hlm"), "the method is 'hlm'; expected a Method"),
        (lambda: Settings(HLM, draft_from="y"), "draft_from is 'y'; expected one of x, xhat"),
        (lambda: Settings(HLM, draft_from=None), "draft_from is None; expected one of x, xhat"),
        (lambda: Settings(HLM, k=1.5), "k is 1.5; expected a whole number"),
        (lambda: Settings(HLM, k=10**40), "expected 1 to 4294967295"),
        (lambda: Settings(HLM, k=0), "k is 0; expected 1 to"),
        (lambda: Settings(HLM, block=True), "block is True; expected a whole number"),
        (lambda: Settings(METHODS["u-hlm"], block=2), "2 drafted tokens per request for u-hlm"),
        (lambda: Settings(HLM, threshold="0.5"), "threshold is '0.5'; expected a number"),
        (lambda: Settings(HLM, threshold=float("nan")), "threshold is nan; expected a number"),
        (lambda: Settings(HLM, transmit_rate=1.5), "rate of transmission is 1.5; expected 0 to 1"),
        (lambda: Settings(HLM, uncertainty="expected"), "expected a UncertaintySettings"),
        (lambda: UncertaintySettings(measure="nonsense"), "measure of uncertainty is 'nonsense'; expected one of"),
        (lambda: UncertaintySettings(perturbations=2.5), "perturbations is 2.5; expected a whole number"),
        (
            lambda: UncertaintySettings(theta_max=1e308),
            r"0.0 to 1e\+308 are no range; expected 0 ≤ θ_min < θ_max ≤ 100",
        ),
        (lambda: Sampling(top_k=1.5), "top_k is 1.5; expected a whole number"),
        (lambda: Sampling(temperature="1"), "temperature is '1'; expected a number"),
        (lambda: Sampling(temperature=True), "temperature is True; expected a number"),
        (lambda: Sampling(temperature=10**400), "temperature is 1000.*; expected a number of up to 308 digits"),
        (lambda: Limits(2.5), "max tokens is 2.5; expected a whole number"),
        (lambda: Limits(0), "max tokens is 0; expected 1 or more"),
        (lambda: Limits(stop_strings="END"), "the stop strings is 'END'; expected several texts"),
        (lambda: Limits(stop_strings=(1,)), "one of the stop strings is 1; expected a str"),
        (lambda: Request(()), "the prompt is empty"),
        (lambda: Request("Hello"), "the prompt is 'Hello'; expected whole numbers"),
        (lambda: Request(np.array([0.5])), "one of the prompt is .*0.5.*; expected a whole number"),
        (lambda: Request((1,), seed=1.0), "the seed is 1.0; expected a whole number"),
        (lambda: Request((1,), sampling=0.7), "the sampling is 0.7; expected a Sampling"),
        (lambda: Request((1,), limits=8), "the limits is 8; expected a Limits"),
        (lambda: Request(np.array([[1, 2]])), "one of the prompt is .*; expected a whole number"),
        (lambda: settings_for("hlm", None), "the method is 'hlm'; expected a Method"),
        (lambda: settings_for(METHODS["cu-hlm"], "pair.json"), "the profile is 'pair.json'; expected a Profile"),
        (lambda: settings_for(METHODS["u-hlm"], None, threshold=None), "the threshold is None; expected a number"),
        (lambda: settings_for(METHODS["u-hlm"], None, threshold=True), "the threshold is True; expected a number"),
        (lambda: settings_for(METHODS["u-hlm"], None, threshold=10**400), "expected a number of up to 308 digits"),
        (lambda: Settings(HLM, b_prob=99), "b_prob is 99; expected 4 to 16 bits"),
        (lambda: Security(5), "the token is 5; expected a str"),
        (lambda: Security("a", 5), "the certificate authority is 5; expected a path"),
        (lambda: GrpcLink(5), "the address is 5; expected a str"),
        (lambda: Security("a", insecure="false"), "insecure is 'false'; expected a bool"),
        (lambda: Security("a", "a\0b"), "the certificate authority is 'a.x00b'; expected a path"),
        (lambda: load_profile("a\0b"), "the profile is 'a.x00b'; expected a path"),
        (lambda: find_method([]), r"the method \[\] is unknown"),
        (lambda: Request(np.array(1)), r"the prompt is array\(1\); expected whole numbers"),
        (lambda: settings_for(METHODS["u-hlm"], None, threshold=np.array([1.0, 2.0])), "threshold is .*a number"),
        (lambda: GrpcLink("127.0.0.1:1", security="secret"), "the security is 'secret'; expected a Security"),
        (lambda: Verifier(ToyEngine(), max_sessions=0), "the number of sessions is 0; expected 1 or more"),
        (lambda: LlamaCppEngine.load(5), "the model is 5; expected a path"),
        (lambda: Device(ToyEngine(), None).prompt(5), "what is said is 5; expected a str"),
        (lambda: GrpcLink("127.0.0.1:1", deadline_seconds="30"), "the deadline is '30'; expected a number"),
        (lambda: LlamaCppEngine.load(DRAFT, threads=1.0), "threads is 1.0; expected a whole"),
        (lambda: LlamaCppEngine.load(DRAFT, context_length=64.0), "context_length is 64.0"),
    ],
)
def test_what_is_none_of_the_kind_is_refused_where_it_is_given(make: Callable[[], object], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        make()


@given(st.integers())
def test_whole_numbers_stay_what_they_are(value: int) -> None:
    assert whole("it", value) == value


@given(st.floats(allow_nan=False))
def test_numbers_stay_what_they_are(value: float) -> None:
    assert number("it", value) == value


def test_a_token_goes_over_a_network_only_with_tls_or_if_that_is_wanted() -> None:
    with pytest.raises(ConfigurationError, match=r"would go to 192\.0\.2\.1:1 in clear.*expected TLS; give --tls-ca"):
        GrpcLink("192.0.2.1:1", security=Security("secret"))
    for address, security in (
        ("192.0.2.1:1", Security("secret", insecure=True)),
        ("192.0.2.1:1", Security()),
        ("127.0.0.1:1", Security("secret")),
        ("[::1]:1", Security("secret")),
        ("localhost:1", Security("secret")),
    ):
        GrpcLink(address, security=security).close()
