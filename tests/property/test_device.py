"""Properties of the device's decisions and of its store."""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge.camera.stamp import Stamps
from edge.camera.stream import without_password
from edge.contract.errors import GalleryError, StorageError
from edge.contract.score import Head, score
from edge.gallery import Gallery, Subject, new_subject
from edge.keys import Keys, write_new_key
from edge.lockout import Failures, Lockout
from edge.matcher import Match, Matcher
from edge.policy import Denial, Grant, Policy
from edge.reasons import Reason
from edge.seal import MAGIC
from edge.settings import GallerySettings, PolicySettings

HEAD = Head(np.ones(3, np.float32), 2.0)
vectors = hnp.arrays(np.float32, 3, elements=st.floats(-5, 5, width=32))
galleries = st.lists(hnp.arrays(np.float32, (2, 3), elements=st.floats(-5, 5, width=32)), max_size=4)


@given(vectors, galleries, st.randoms(), st.floats(0.01, 0.99))
def test_the_order_of_the_gallery_does_not_matter(
    probe: np.ndarray, sets: list[np.ndarray], random: object, threshold: float
) -> None:
    subjects = [Subject(f"s{number}", "m", templates, 0) for number, templates in enumerate(sets)]
    shuffled = list(subjects)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert Matcher(HEAD, subjects).match(probe, threshold) == Matcher(HEAD, shuffled).match(probe, threshold)


@given(vectors, vectors, galleries, st.floats(0.01, 0.99), st.floats(0, 0.9), st.floats(0.01, 0.1))
def test_a_second_look_decides_what_is_in_doubt_and_nothing_else(
    probe: np.ndarray, twice: np.ndarray, sets: list[np.ndarray], threshold: float, low: float, width: float
) -> None:
    """Compares with a naive loop over templates. A second look is taken at most once, and never if the closest template is beyond doubt."""
    head = replace(HEAD, doubt=(low, low + width))
    subjects, looks = [Subject(f"s{number}", "m", templates, 0) for number, templates in enumerate(sets)], []

    def look() -> np.ndarray:
        looks.append(1)
        return twice

    found = Matcher(head, subjects).match(probe, threshold, look)
    first = {s.name: [float(score(HEAD, probe, t[None])[0]) for t in s.templates] for s in subjects}
    again = {s.name: [float(score(HEAD, twice, t[None])[0]) for t in s.templates] for s in subjects}
    closest = max((max(scores) for scores in first.values()), default=-1.0)
    doubtful = low <= closest < low + width
    assert looks == [1] * doubtful
    best = {
        name: max(b if doubtful and low <= a < low + width else a for a, b in zip(scores, again[name], strict=True))
        for name, scores in first.items()
    }
    above = [name for name, value in best.items() if value >= threshold]
    if len(above) == 1:
        assert found == Match(above[0], best[above[0]])
    else:
        assert found is (Reason.AMBIGUOUS if above else Reason.NO_MATCH if sets else Reason.EMPTY_GALLERY)


outcomes = st.one_of(
    st.sampled_from(list(Reason)),
    st.builds(Match, st.sampled_from(["ada", "bob"]), st.floats(0.5, 1)),
)
events = st.lists(st.tuples(outcomes, st.floats(0, 40)), max_size=200)
policies = st.builds(
    PolicySettings,
    matches=st.just(2),
    frames=st.integers(2, 6),
    window_s=st.floats(0.5, 10),
    rearm_s=st.floats(0, 5),
    lockout_failures=st.integers(1, 3),
    disable_failures=st.integers(4, 6),
)


@given(events, policies)
def test_no_sequence_grants_without_k_matches_of_that_subject(
    sequence: list[tuple[Match | Reason, float]], how: PolicySettings
) -> None:
    policy, now, matched = Policy(how), 0.0, {"ada": 0, "bob": 0}
    for outcome, pause in sequence:
        now += pause
        if isinstance(outcome, Match):
            matched[outcome.subject] += 1
        decision = policy.observe(outcome, now)
        if isinstance(decision, Grant):
            assert matched[decision.subject] >= how.matches
            matched = {"ada": 0, "bob": 0}


@given(events, policies)
def test_lock_out_is_monotone_and_silent(sequence: list[tuple[Match | Reason, float]], how: PolicySettings) -> None:
    """Nothing is decided while it lasts. Failures without an accept in between only extend it."""
    policy, now, failures = Policy(how), 0.0, 0
    for outcome, pause in sequence:
        now += pause
        blocked = policy.blocked(now)
        decision = policy.observe(outcome, now)
        assert blocked is None or decision is None
        if isinstance(decision, Denial):
            failures += 1
            assert (decision.locked_s > 0) == (failures >= how.lockout_failures)
        elif isinstance(decision, Grant):
            assert failures < how.disable_failures
            failures = 0
        if failures >= how.disable_failures:
            assert policy.blocked(now + 1e12) is Reason.DISABLED


@given(st.lists(st.tuples(st.integers(1, 9), st.floats(1.01, 20)), min_size=1, max_size=12), policies, st.floats(0.01, 0.99))
def test_every_try_that_could_have_matched_is_counted(
    visits: list[tuple[int, float]], how: PolicySettings, pace: float
) -> None:
    """Strangers come for some frames, at any pace, then step aside for longer than frames count. Each n frames of a visit are a failure.
    The remainders of at least k frames, which could have matched, add up, and make a failure for each n frames."""
    forgiving = how.model_copy(update={"lockout_failures": 99, "disable_failures": 100})
    policy, now, failures, owed = Policy(forgiving), 0.0, 0, 0
    for frames, away in visits:
        for _ in range(frames):
            policy.observe(Reason.NO_MATCH, now)
            now += pace * how.window_s
        now += away * how.window_s
        policy.observe(Reason.NO_FACE, now)
        whole, rest = divmod(frames, how.frames)
        owed += rest if rest >= how.matches else 0
        failures += whole + (owed >= how.frames)
        owed -= how.frames if owed >= how.frames else 0
        assert policy.failures == failures


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_one_flipped_byte_of_a_template_is_an_error(at: int, flip: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        gallery = Gallery(Path(folder))
        gallery.write(new_subject("ada", "m1", np.ones((3, 8), np.float32)), replace=False)
        path = gallery.folder / "ada.faces"
        data = bytearray(path.read_bytes())
        data[at % len(data)] ^= flip
        path.write_bytes(data)
        with pytest.raises(GalleryError):
            gallery.read("ada")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    """A gallery with a key, and ada in it."""
    state = tmp_path_factory.mktemp("sealed")
    write_new_key(state / "key", state)
    how = GallerySettings.model_validate({"encrypt": "file", "key_file": str(state / "key")})
    gallery = Gallery(state, Keys(how, state))
    gallery.write(new_subject("ada", "m1", np.ones((3, 8), np.float32)), replace=False)
    return gallery


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 255), st.booleans())
def test_one_flipped_byte_of_an_encrypted_template_is_an_error(sealed: Gallery, at: int, flip: int, forged: bool) -> None:
    """Even if the digest was made to match again, which needs no key, unlike opening the template."""
    path = sealed.folder / "ada.faces"
    data = path.read_bytes()
    body, digest = bytearray(data[:-32]), data[-32:]
    if forged:
        body[at % len(body)] ^= flip
        digest = hashlib.sha256(body).digest()
        changed = bytes(body) + digest
    else:
        changed = bytearray(data)
        changed[at % len(data)] ^= flip
    path.write_bytes(changed)
    try:
        with pytest.raises(GalleryError):
            sealed.read("ada")
    finally:
        path.write_bytes(data)
    assert sealed.read("ada").name == "ada"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_rubbish_with_a_fitting_digest_is_an_error(sealed: Gallery, rubbish: bytes, begins_well: bool) -> None:
    body = (MAGIC if begins_well else b"") + rubbish
    (sealed.folder / "eve.faces").write_bytes(body + hashlib.sha256(body).digest())
    with pytest.raises(GalleryError):
        sealed.read("eve")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["ada", "fail", "full", "back", "other"]), max_size=30))
def test_no_failure_is_lost_whatever_the_disk_does(sequence: list[str]) -> None:
    """Two processes fail, the first also accepts, the disk fills and is freed: in the end all failures since the last accept count."""
    with tempfile.TemporaryDirectory() as folder:
        state, how = Path(folder), PolicySettings(lockout_failures=99, disable_failures=100)
        own, other, expected = Lockout(state), Lockout(state), 0
        blocker = state / ".lockout.json.new"
        for word in sequence:
            if word == "full":
                blocker.mkdir(exist_ok=True)
            elif word == "back" and blocker.exists():
                blocker.rmdir()
            elif word in ("fail", "other"):
                expected += 1
                with suppress(StorageError):
                    (own if word == "fail" else other).fail("ada", how)
            elif word == "ada" and not blocker.exists():
                own.settle(how)
                other.settle(how)
                assert own.succeed("ada", how) == Failures()
                expected = 0
        if blocker.exists():
            blocker.rmdir()
        own.settle(how)
        other.settle(how)
        assert own.read("ada", 30).count == expected


words = st.text(st.characters(exclude_characters="/?#@", exclude_categories=["Cs"]), max_size=6)
anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
SECRET = "hunter2"


@given(
    st.sampled_from(["http", "https", "rtsp", "rtsps", "RTSP", "other"]),
    st.one_of(st.just(""), st.builds(lambda before, after: f"{before}{SECRET}{after}@", anything, anything)),
    words.filter(bool),
    st.one_of(st.just(""), st.builds(lambda mark, before: f"/p{mark}{before}{SECRET}", st.sampled_from("?#;&="), anything)),
)
def test_an_address_is_told_without_its_secrets(scheme: str, user: str, host: str, secret_end: str) -> None:
    """Whatever characters surround the secrets, including ones that should have been escaped."""
    told = without_password(f"{scheme}://{user}{host}{secret_end}")
    assert SECRET not in told
    assert told.startswith(f"{scheme}://")
    assert without_password(told) == told
    if not set("/?#") & set(user) and "@" not in secret_end:
        assert told == f"{scheme}://{host}{'/p' * bool(secret_end)}"


@given(anything.filter(lambda text: "://" not in text))
def test_what_is_no_address_is_told_as_it_is(path: str) -> None:
    assert without_password(path) == path


reads = st.lists(st.tuples(st.floats(1e-3, 20), st.one_of(st.none(), st.floats(-1e3, 1e3))), max_size=100)


@given(reads, st.floats(0.01, 5))
def test_a_drivers_stamp_makes_no_frame_younger_and_none_that_is_old_one_of_now(
    frames: list[tuple[float, float | None]], max_age_s: float
) -> None:
    """Each frame is read `pause_s` after the one before, and stamped `age_s` before its read. Times never go back."""
    stamps, now, last = Stamps(max_age_s), 100.0, float("-inf")
    for pause_s, age_s in frames:
        now += pause_s
        at = stamps.exposed_at(None if age_s is None else now - age_s, now)
        if at is not None:
            assert last < at <= now
            assert now - at <= max_age_s
            last = at
