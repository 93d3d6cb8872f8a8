"""Work tells who listens what it does, and nobody else."""

from __future__ import annotations

from crosslook.progress import listening, stage, track


def test_stages_and_steps_are_heard_in_order() -> None:
    heard: list[tuple[str, int, int]] = []
    stage("before")
    with listening(lambda *event: heard.append(event)):
        stage("read")
        assert list(track([7, 8], "counting")) == [7, 8]
    stage("after")
    assert heard == [("read", 0, 0), ("counting", 0, 2), ("counting", 1, 2)]


def test_a_listener_that_left_hears_nothing_even_after_an_error() -> None:
    heard: list[str] = []
    try:
        with listening(lambda name, *_: heard.append(name)):
            raise ValueError("stop")
    except ValueError:
        stage("after")
    assert heard == []
