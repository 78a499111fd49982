"""Another detector finds the region, the contract's cascade makes the box. An unusable detector file is refused with its setting's key."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from edge.contract.chip import FaceBox, to_grey
from edge.contract.detector import HAAR_ALT2_FILE, load_detector
from edge.contract.errors import SettingsError
from edge.finders import Narrow, Within, load_finder, look
from edge.settings import DetectionSettings
from trainer.synth.draw import draw_frame
from trainer.synth.person import Person
from trainer.synth.view import View

LBP = Path("/usr/share/opencv4/lbpcascades/lbpcascade_frontalface.xml")
HAAR = Path(__file__).parents[3] / "edge" / "contract" / "cascades" / HAAR_ALT2_FILE


def drawn(seed: int = 1, **view: float) -> np.ndarray:
    return to_grey(draw_frame(Person.from_seed(seed), View(**view), np.random.default_rng(seed), width=320, height=240))


class Told:
    """A finder that returns given regions, as a network would."""

    name, sizes = "told", (0.6, 1.7)

    def __init__(self, *regions: FaceBox) -> None:
        self.regions, self.asked = list(regions), []

    def detect(self, grey: np.ndarray, *, min_px: int, max_px: int | None = None) -> list[FaceBox]:
        self.asked.append((min_px, max_px))
        return self.regions


class Everything:
    """A detector that sees a face of the largest allowed size in the middle of every picture."""

    name = "everything"

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def detect(self, grey: np.ndarray, *, min_px: int, max_px: int | None = None) -> list[FaceBox]:
        self.asked.append((min_px, max_px or 0))
        side = max_px or min(grey.shape)
        return [FaceBox(grey.shape[1] // 2 - side // 2, grey.shape[0] // 2 - side // 2, side, side)]


def test_the_box_is_the_cascades_own_wherever_the_finder_put_its_region() -> None:
    haar, grey = load_detector("haar-alt2"), drawn()
    (own,) = haar.detect(grey, min_px=60)
    for right, down, factor in ((0, 0, 1.0), (8, -6, 0.9), (-7, 5, 1.2)):
        side = round(own.width * factor)
        region = FaceBox(own.x + right, own.y + down, side, side)
        (box,) = Within(Told(region), haar).detect(grey, min_px=60)
        assert abs(box.x + box.width / 2 - own.x - own.width / 2) <= 0.05 * own.width
        assert abs(box.width - own.width) <= 0.12 * own.width


def test_what_the_finder_does_not_see_is_not_looked_at() -> None:
    haar = Everything()
    assert Within(Told(), haar).detect(drawn(), min_px=60) == []
    assert haar.asked == []


def test_a_region_without_a_face_gives_no_box() -> None:
    assert Within(Told(FaceBox(0, 0, 80, 80)), load_detector("haar-alt2")).detect(drawn(), min_px=60) == []


def test_limits_hold_for_the_box_and_are_widened_for_the_finder() -> None:
    finder, haar = Told(FaceBox(100, 60, 100, 100), FaceBox(0, 0, 20, 20)), Everything()
    Within(finder, haar).detect(drawn(), min_px=80, max_px=150)
    assert finder.asked == [(47, 250)]  # 80 / 1.7 and 150 / 0.6
    # 80 to 150 px, scaled so that the largest fills at most 40 px. The second region is too small for a face of 80 px.
    assert haar.asked == [(20, 38)]


def test_two_regions_of_one_face_give_one_box_and_two_faces_two() -> None:
    near, far = FaceBox(100, 60, 80, 80), FaceBox(103, 62, 76, 76)
    assert len(Within(Told(near, far), Everything()).detect(drawn(), min_px=60)) == 1
    assert len(Within(Told(FaceBox(0, 60, 80, 80), FaceBox(220, 60, 80, 80)), Everything()).detect(drawn(), min_px=60)) == 2


def test_a_region_at_or_beyond_the_edge_is_cut_off() -> None:
    regions = (FaceBox(-30, -20, 80, 80), FaceBox(300, 220, 80, 80), FaceBox(900, 900, 80, 80), FaceBox(-300, -300, 80, 80))
    for box in Within(Told(*regions), Everything()).detect(drawn(), min_px=60):
        assert box.width >= 60


class Seeing:
    """A detector that sees a face of the smallest allowed size at the upper left of every picture at least `from_px` high."""

    name = "seeing"

    def __init__(self, from_px: int = 0) -> None:
        self.from_px, self.asked = from_px, []

    def detect(self, grey: np.ndarray, *, min_px: int, max_px: int | None = None) -> list[FaceBox]:
        self.asked.append((grey.shape[0], min_px, max_px))
        return [FaceBox(0, 0, min_px, min_px)] if grey.shape[0] >= self.from_px else []


def test_known_sizes_are_looked_for_in_a_small_picture_and_only_then_in_the_picture_itself() -> None:
    """Sizes of 80 to 120 px: in a picture scaled to a third, the largest fills 40 px, twice the cascade's window."""
    grey = np.zeros((150, 150), np.uint8)
    quick, full = Seeing(), Seeing(from_px=150)
    assert Narrow(quick).detect(grey, min_px=80, max_px=120) == [FaceBox(0, 0, 78, 78)]
    assert quick.asked == [(50, 26, 40)]
    assert Narrow(full).detect(grey, min_px=80, max_px=120) == [FaceBox(0, 0, 80, 80)]
    assert full.asked == [(50, 26, 40), (150, 80, 120)]


@pytest.mark.parametrize(
    ("height", "width", "min_px", "max_px", "asked"),
    [(150, 150, 80, 120, (50, 26, 40)), (152, 151, 60, 101, (50, 20, 34)), (150, 150, 50, 90, (67, 22, 41))],
)
def test_the_small_picture_is_a_whole_part_where_the_smallest_face_still_fills_the_cascades_window(
    height: int, width: int, min_px: int, max_px: int, asked: tuple[int, int, int]
) -> None:
    """A third of 150, a third of 152 rounded down, and 150 / 2.25, because a third of 50 px would be less than the window's 20 px."""
    haar = Seeing()
    Narrow(haar).detect(np.zeros((height, width), np.uint8), min_px=min_px, max_px=max_px)
    assert haar.asked == [asked]


@pytest.mark.parametrize(("min_px", "max_px"), [(40, 120), (30, 40), (80, None)])
def test_sizes_that_a_small_picture_cannot_hold_are_looked_for_in_the_picture_itself(min_px: int, max_px: int | None) -> None:
    haar = Seeing()
    Narrow(haar).detect(np.zeros((150, 150), np.uint8), min_px=min_px, max_px=max_px)
    assert haar.asked == [(150, min_px, max_px)]


def test_a_place_is_looked_at_in_its_own_surroundings_and_at_the_scale_of_the_whole_search() -> None:
    """125 px at most, plus a tenth of that on each side: 75 px around the centre (250, 150), 150 px in all, halved by `scale`."""
    haar = Seeing(from_px=75)
    (box,) = look(haar, np.zeros((480, 640), np.uint8), FaceBox(200, 100, 100, 100), (0.8, 1.25), min_px=60, scale=0.5)
    assert [asked for asked in haar.asked if asked[0] == 75] == [(75, 40, 63)]
    assert len(haar.asked) == 2
    assert box == FaceBox(175, 75, 80, 80)


def test_a_detector_without_a_finder_of_its_own_searches_alone() -> None:
    assert load_finder(DetectionSettings(), Everything()) is None


@pytest.mark.parametrize("table", [{"detector": "lbp"}, {"detector": "yunet"}, {"detector_file": "x.xml"}])
def test_a_detector_and_its_file_come_together(table: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="detector_file"):
        DetectionSettings.model_validate(table)


@pytest.mark.parametrize("kind", ["lbp", "yunet"])
@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "cannot be read: No such file"), ("folder", "cannot be read: Is a directory"), (b"", "is no"), (b"<xml/>LBP", "")],
)
def test_a_file_that_does_not_fit_is_refused_with_its_key(tmp_path: Path, kind: str, content: object, problem: str) -> None:
    file = tmp_path / "given"
    if content == "folder":
        file.mkdir()
    elif isinstance(content, bytes):
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"detection\.detector_file") as caught:
        load_finder(DetectionSettings.model_validate({"detector": kind, "detector_file": str(file)}), Everything())
    assert str(file) in str(caught.value)
    assert problem in str(caught.value)
    assert 'detection.detector = "haar"' in str(caught.value)


def test_a_haar_cascade_is_no_lbp_cascade() -> None:
    with pytest.raises(SettingsError, match="no cascade of local binary patterns"):
        load_finder(DetectionSettings.model_validate({"detector": "lbp", "detector_file": str(HAAR)}), Everything())


def test_yunet_through_opencv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for OpenCV's class, with its methods: the network's file is not part of the project."""

    class Network:
        size = (0, 0)

        def setInputSize(self, size: tuple[int, int]) -> None:  # noqa: N802 - OpenCV's name
            self.size = size

        def detect(self, picture: np.ndarray) -> tuple[int, np.ndarray | None]:
            assert picture.shape == (self.size[1], self.size[0], 3)
            if self.size == (96, 96):
                return 1, None
            row = np.array([[100, 40, 80, 125, *[0] * 10, 0.9], [10, 10, 16, 25, *[0] * 10, 0.8]], np.float32)
            return 1, row

    class Class:
        @staticmethod
        def create(*arguments: object) -> Network:
            return Network()

    monkeypatch.setattr(cv2, "FaceDetectorYN", Class)
    file = tmp_path / "yunet.onnx"
    file.write_bytes(b"network")
    finder = load_finder(DetectionSettings.model_validate({"detector": "yunet", "detector_file": str(file)}), Everything())
    assert finder is not None
    assert finder.detect(drawn(), min_px=60) == [FaceBox(90, 52, 100, 100)]  # 80 x 125 px around (140, 102.5), as a square


def test_an_lbp_cascade_finds_what_haar_finds() -> None:
    if not LBP.exists():
        pytest.skip(f"no {LBP}: apt-get install opencv-data")
    finder = load_finder(DetectionSettings.model_validate({"detector": "lbp", "detector_file": str(LBP)}), Everything())
    assert finder is not None
    haar = load_detector("haar-alt2")
    found = 0
    for seed in range(20):
        grey = drawn(seed)
        (own,) = haar.detect(grey, min_px=60)
        for box in Within(finder, haar).detect(grey, min_px=60):
            found += 1
            assert abs(box.x + box.width / 2 - own.x - own.width / 2) <= 0.05 * own.width
            assert abs(box.width - own.width) <= 0.2 * own.width
    assert found >= 15
