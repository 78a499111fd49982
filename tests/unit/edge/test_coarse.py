"""The coarse search leads the cascade to the faces that a full search finds. It tries few sizes, other ones in the next search."""

from __future__ import annotations

import numpy as np
import pytest

from edge.coarse import CoarseFinder
from edge.contract.chip import FaceBox, to_grey
from edge.contract.detector import HaarDetector, load_detector
from edge.finders import Within, load_finder
from edge.settings import DetectionSettings
from trainer.synth.draw import draw_frame
from trainer.synth.person import Person
from trainer.synth.view import View


def drawn(seed: int = 1, **view: float) -> np.ndarray:
    return to_grey(draw_frame(Person.from_seed(seed), View(**view), np.random.default_rng(seed), width=320, height=240))


class Recording(HaarDetector):
    """A cascade that records the shapes of the pictures it searched, and sees a window at `at` in those with a height in `heights`."""

    def __init__(self, at: tuple[int, int] = (0, 0), heights: tuple[int, ...] = ()) -> None:
        self.at, self.heights, self.shapes = at, heights, []

    def windows(self, grey: np.ndarray) -> list[tuple[int, int]]:
        self.shapes.append(grey.shape)
        return [self.at] if grey.shape[0] in self.heights else []


def test_a_user_of_haar_has_the_coarse_search() -> None:
    assert isinstance(load_finder(DetectionSettings(), load_detector("haar-alt2")), CoarseFinder)


@pytest.mark.parametrize("size", [0.14, 0.2, 0.3])
@pytest.mark.parametrize("x", [-0.3, 0.0, 0.3])
def test_the_boxes_are_those_of_the_full_search(size: float, x: float) -> None:
    haar = load_detector("haar-alt2")
    coarse = Within(CoarseFinder(haar), haar)
    for seed in range(3):
        grey = drawn(seed, size=size, x=x)
        (own,) = haar.detect(grey, min_px=40)
        found = [coarse.detect(grey, min_px=40) for _ in range(2)]  # each set of sizes once: one may see what the other misses
        assert any(found)
        for (box,) in filter(None, found):
            assert abs(box.x + box.width / 2 - own.x - own.width / 2) <= 0.06 * own.width
            assert abs(box.y + box.height / 2 - own.y - own.height / 2) <= 0.06 * own.width
            assert abs(box.width - own.width) <= 0.25 * own.width


def test_two_faces_are_two() -> None:
    haar = load_detector("haar-alt2")
    coarse = Within(CoarseFinder(haar), haar)
    both = np.hstack([drawn(1, x=-0.3, size=0.3)[:, :160], drawn(2, x=0.3, size=0.2)[:, 160:]])
    assert len(haar.detect(both, min_px=40)) == 2
    for _ in range(2):
        left, right = sorted(coarse.detect(both, min_px=40), key=lambda box: box.x)
        assert left.x + left.width / 2 < 160 < right.x + right.width / 2


def test_nothing_is_found_in_nothing() -> None:
    haar = load_detector("haar-alt2")
    for grey in (np.full((240, 320), 128, np.uint8), np.zeros((12, 300), np.uint8)):
        assert CoarseFinder(haar).detect(grey, min_px=40) == []


def test_two_searches_in_turn_look_at_other_sizes() -> None:
    """For faces of 40 px, Within asks for regions from 40 / 1.33 px up. The first picture is half of 240 px high: its windows are 40 px."""
    cascade = Recording()
    finder = CoarseFinder(cascade)
    heights = []
    for _ in range(3):
        finder.detect(np.zeros((240, 320), np.uint8), min_px=30)
        heights.append([height for height, _ in cascade.shapes])
        cascade.shapes.clear()
    assert heights[0] == heights[2]
    assert abs(heights[0][0] - 120) <= 1
    assert heights[0][0] > heights[1][0] > heights[0][1] > heights[1][1]
    assert all(height >= 20 for height in heights[0] + heights[1])


def test_sizes_end_at_the_largest_that_is_asked_for() -> None:
    cascade = Recording()
    CoarseFinder(cascade).detect(np.zeros((240, 320), np.uint8), min_px=30, max_px=60)
    assert min(height for height, _ in cascade.shapes) >= 240 * 20 / 60


def test_windows_that_lie_together_are_one_region_and_a_single_one_is_one_too() -> None:
    """A window of the first picture, which is half as high as the frame, is 40 px wide; of the second 52, of the third 67."""
    grey, first = np.zeros((240, 320), np.uint8), Recording((10, 10), (120,))
    assert CoarseFinder(first).detect(grey, min_px=30) == [FaceBox(20, 20, 40, 40)]
    second = first.shapes[1][0]

    class Both(Recording):
        def windows(self, grey: np.ndarray) -> list[tuple[int, int]]:
            return {120: [(10, 10)], second: [(5, 5)]}.get(grey.shape[0], [])

    assert CoarseFinder(Both()).detect(grey, min_px=30) == [FaceBox(16, 16, 46, 46)]


def test_regions_come_largest_first() -> None:
    class Apart(Recording):
        def windows(self, grey: np.ndarray) -> list[tuple[int, int]]:
            super().windows(grey)
            return {1: [(0, 0)], 3: [(50, 30)]}.get(len(self.shapes), [])

    found = CoarseFinder(Apart()).detect(np.zeros((240, 320), np.uint8), min_px=30)
    assert [box.width for box in found] == [67, 40]


def test_the_windows_of_the_cascade_are_its_own_size_at_every_second_pixel() -> None:
    haar = load_detector("haar-alt2")
    grey = drawn(size=0.26)
    (own,) = haar.detect(grey, min_px=60)
    factor = own.width / 20
    small = np.ascontiguousarray(grey[:: round(factor), :: round(factor)])
    found = haar.windows(small)
    assert found
    assert all(x % 2 == 0 and y % 2 == 0 for x, y in found)
    middle = (own.x + own.width / 2) / round(factor)
    assert all(abs(x + 10 - middle) <= 4 for x, _ in found)
