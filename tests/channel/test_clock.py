from cuhlm.channel.clock import VirtualClock


def test_a_virtual_clock_moves_only_forward_and_only_when_told() -> None:
    clock = VirtualClock()
    assert clock.now == 0
    clock.advance(1.5)
    clock.advance_to(4.0)
    assert clock.now == 4
    clock.advance_to(2.0)
    assert clock.now == 4
