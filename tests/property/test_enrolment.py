"""Properties of the poses: whatever a person does, the counts hold, and no pose is waited for endlessly."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.poses import Asking, Course
from edge.settings import Settings

# What a frame shows (no face, a refused face, or the turn of a good one), and the time since the frame before, in seconds.
frames = st.lists(
    st.tuples(st.one_of(st.none(), st.just("refused"), st.floats(-0.28, 0.28)), st.floats(0.01, 3.0)), max_size=150
)


@given(frames, st.integers(5, 12), st.sampled_from(Asking), st.booleans())
def test_counts_hold_and_nothing_is_waited_for_without_end(
    shown: list[tuple[float | str | None, float]], anchors: int, asking: Asking, mirror: bool
) -> None:
    settings = Settings.model_validate({"enrolment": {"anchors": anchors}, "camera": {"mirror": mirror}})
    course, now, have, good = Course(settings, asking), 0.0, 0, 0
    for frame, pause in shown:
        now += pause
        course.tick(now, face=frame is not None)
        if isinstance(frame, float):
            good += 1
            course.take(frame, now)
        counts = course.counts()
        assert all(0 <= count.have <= count.want for count in counts)
        assert sum(count.want for count in counts) == course.want == 4 * anchors
        assert have <= course.have <= min(good, course.want)
        have = course.have
        if course.asked is not None:
            (asked,) = (count for count in counts if count.pose is course.asked)
            assert asked.have < asked.want
            assert not asked.over
    course.tick(now, face=True)
    for _ in range(5):
        now += settings.enrolment.timeout_s
        course.tick(now, face=True)
    assert course.asked is None
    for _ in range(course.want):
        course.take(0.0, now)
    assert course.done
