"""Several data sets in one training: a shared name is one person, no photograph is paired with itself, held-out people stay held out."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.contract.errors import InputError, StorageError
from edge.contract.fingerprint import chip_fingerprint
from edge.contract.modelfile import read_model
from edge.contract.spec import ChipSpec
from tests.conftest import MODEL
from trainer.dataset import Teaching, kept_chips, load_faces
from trainer.importer import import_people, read_renaming
from trainer.layout import Layout, photograph_of
from trainer.pack import PACK, PACK_LOCK, Pack
from trainer.settings import Recipe
from trainer.split import as_bytes, further_cohort
from trainer.start import load_sets
from trainer.teach import load_with_teaching, write_teaching
from trainer.unseen import other_cameras, people_to_leave_out, seen_people, unseen_faces, unseen_strangers

SPEC = ChipSpec(side_px=32)


def taught(folder: Path, numbers: int = 4, **changed: np.ndarray) -> Path:
    """Adds a teacher's file to a set, with the `changed` arrays replaced."""
    names = load_faces(folder).names
    ones = Teaching(np.ones((len(names), numbers), np.float32), np.tile(np.float32([0, 0, 0.7, 0]), (len(names), 1)))
    write_teaching(folder, names, ones, made_by="a test")
    if changed:
        with np.load(folder / "teacher.npz") as saved:
            np.savez(folder / "teacher.npz", **({**saved} | changed))
    return folder


def prepared(folder: Path, pictures: dict[str, list[str]]) -> Path:
    """A prepared set. A chip's grey value is ten times the length of its picture's name, so that chips can be told apart."""
    entries = []
    for person, names in pictures.items():
        for name in names:
            chip = f"chips/{person}/{name}.png"
            (folder / chip).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / chip), np.full((32, 32), 10 * len(name), np.uint8))
            entries.append({"chip": chip, "identity": person, "box": [0, 0, 32, 32]})
    record = {
        "layout": "identities",
        "chip": SPEC.to_json(),
        "fingerprint": chip_fingerprint(SPEC),
        "chips": entries,
        "skipped": [],
    }
    (folder / "prepared.json").write_text(json.dumps(record))
    return folder


def test_two_sets_are_one_and_a_photograph_of_both_is_taken_once(tmp_path: Path) -> None:
    first = load_faces(prepared(tmp_path / "a", {"ada": ["1", "22"], "bob": ["1"]}))
    second = load_faces(prepared(tmp_path / "b", {"ada": ["22", "333"], "eve": ["1"]}))
    both = first.joined_with(second)
    assert both.identities == ["ada", "bob", "eve"]
    assert [both.identities[label] for label in both.labels] == ["ada", "ada", "bob", "ada", "eve"]
    assert both.chips[:][:, 0, 0].tolist() == [10, 20, 10, 30, 10]
    assert both.digest not in (first.digest, second.digest)
    # A photograph that another set cuts differently is still the same; pictures captured at two cameras share numbers and are not.
    names = ["anchor-0001", "photograph"]
    first = load_faces(prepared(tmp_path / "one", {"ada": names}))
    again = prepared(tmp_path / "two", {"ada": names})
    assert len(first.joined_with(load_faces(again)).labels) == 2
    for name in names:
        cv2.imwrite(str(again / f"chips/ada/{name}.png"), np.full((32, 32), 99, np.uint8))
    assert first.joined_with(load_faces(again)).names == [f"chips/ada/{name}.png" for name in (*names, names[0])]
    assert [len(name) for name in both.of(["eve", "ada"]).names] == [len("chips/ada/1.png"), 16, 17, 15]


def test_another_photograph_of_the_same_person_and_name_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is left out with a warning, because it may be the same one cut differently; an identical chip is left out silently."""
    folders = [prepared(tmp_path / name, {"ada": ["1", "22", "anchor-0001"]}) for name in ("a", "b", "c")]
    cv2.imwrite(str(folders[2] / "chips/ada/22.png"), np.full((32, 32), 99, np.uint8))
    cv2.imwrite(str(folders[2] / "chips/ada/anchor-0001.png"), np.full((32, 32), 98, np.uint8))
    load_sets(folders[:2], Recipe())
    assert capsys.readouterr().err == ""
    load_sets(folders, Recipe())
    told = capsys.readouterr().err
    assert f"warning: {folders[2]}: 1 pictures, such as chips/ada/22.png, are left out" in told
    assert "give their files other names" in told


def test_a_photograph_in_the_six_folders_is_the_one_of_its_own_name(tmp_path: Path) -> None:
    """There, the person's name precedes the picture's. It must still match the photograph in other sets, and its known label error."""
    pictures = {"Michael_Schumacher": ["Michael_Schumacher_0007", "Michael_Schumacher_0008"], "ada": ["anchor-0001", "1"]}
    plain = load_faces(prepared(tmp_path / "plain", pictures))
    six = prepared(tmp_path / "six", pictures)
    record = json.loads((six / "prepared.json").read_text())
    for folder in ("anchor_grayed", "negative_grayed"):
        (six / folder).mkdir()
    for entry in record["chips"]:
        role = "anchor" if "anchor" in entry["chip"] else "negative"
        to = f"{role}_grayed/{entry['identity']}__{Path(entry['chip']).name}"
        (six / entry["chip"]).rename(six / to)
        entry["chip"] = to
    (six / "prepared.json").write_text(json.dumps(record | {"layout": "six-folders"}))
    faces = load_faces(six)
    assert [len(plain.joined_with(faces).labels), len(faces.joined_with(plain).labels)] == [4, 4]
    assert [photograph_of(name) for name in faces.measured().names] == ["Michael_Schumacher_0007", "anchor-0001", "1"]


def test_figures_are_made_of_a_few_pictures_each_and_of_no_label_known_to_be_wrong(tmp_path: Path) -> None:
    pictures = {
        "Michael_Schumacher": [f"Michael_Schumacher_{number:04}" for number in range(1, 13)],
        "Ricky_Ray": ["Ricky_Ray_0001"],
        "Sepp_Blatter": ["Sepp_Blatter_0001", "Sepp_Blatter_0002"],
        "ada": ["ada_0001", "ada_0002"],
    }
    faces = load_faces(prepared(tmp_path, pictures))
    measured = faces.measured()
    assert measured.identities == ["Michael_Schumacher", "ada"]
    assert [Path(name).stem[-4:] for name in measured.names] == [*(f"{n:04}" for n in range(1, 12) if n != 8), "0001", "0002"]
    assert measured.labels.tolist() == [0] * 10 + [1] * 2
    assert len(faces.names) == 17, "the set itself stays whole: it is trained on"


def test_the_pack_is_made_anew_when_a_chip_changes(tmp_path: Path) -> None:
    folder = prepared(tmp_path, {"ada": ["1", "22"]})
    before = load_faces(folder)
    assert load_faces(folder).digest == before.digest
    cv2.imwrite(str(folder / "chips/ada/1.png"), np.full((32, 32), 99, np.uint8))
    after = load_faces(folder)
    assert after.digest != before.digest
    assert after.chips.one(0)[0, 0] == 99
    assert before.chips[:][:, 0, 0].tolist() == [10, 20]  # chips that were opened before have not changed
    for damaged in ("", "{}", "[]"):
        (folder / "chips.json").write_text(damaged)
        assert load_faces(folder).digest == after.digest
    (folder / "chips/ada/1.png").unlink()
    with pytest.raises(InputError, match=r"ada/1\.png: missing"):
        load_faces(folder)


def test_names_that_are_no_utf8_are_packed(tmp_path: Path) -> None:
    """Old archives have such names, and OpenCV terminated the process on one."""
    folder = prepared(tmp_path, {"J.rgen": ["22"], "bob": ["1"]})
    latin = os.fsdecode(b"J\xfcrgen")
    (folder / "chips/J.rgen/22.png").rename(folder / f"chips/J.rgen/{latin}.png")
    (folder / "chips/J.rgen").rename(folder / f"chips/{latin}")
    record = json.loads((folder / "prepared.json").read_text())
    record["chips"][0] |= {"chip": f"chips/{latin}/{latin}.png", "identity": latin}
    (folder / "prepared.json").write_text(json.dumps(record))
    assert load_faces(folder).chips[:][:, 0, 0].tolist() == [20, 10]


def test_two_processes_do_not_pack_one_set_at_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The second one waits for the first, and then finds its pack."""
    folder = prepared(tmp_path, {"ada": ["1", "22"]})
    with (folder / PACK_LOCK).open("wb") as lock, ThreadPoolExecutor(1) as pool:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting, told = pool.submit(load_faces, folder), ""
        while "another process packs its chips" not in told:
            assert not waiting.done()
            told += capfd.readouterr().err
        assert not (folder / PACK).exists()
        fcntl.flock(lock, fcntl.LOCK_UN)
        assert waiting.result().chips[:][:, 0, 0].tolist() == [10, 20]


def test_a_pack_is_read_by_rows_and_a_cut_one_is_told(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), np.uint8)
    np.save(tmp_path / "pack.npy", pictures)
    pack = Pack(tmp_path / "pack.npy")
    assert (len(pack), pack.shape) == (5, (5, 4, 4, 3))
    assert np.array_equal(pack[3], pictures[3])
    assert np.array_equal(pack[np.array([4, 0, 4])], pictures[[4, 0, 4]])
    os.truncate(tmp_path / "pack.npy", (tmp_path / "pack.npy").stat().st_size - 1)
    with pytest.raises(StorageError, match="cut off at picture 4 of 5"):
        pack[4]


@pytest.mark.parametrize("left", [0, 100, 1000])
def test_a_pack_of_which_a_part_is_there_is_told(tmp_path: Path, left: int) -> None:
    folder = prepared(tmp_path, {"ada": ["1", "22"]})
    load_faces(folder)
    os.truncate(folder / PACK, left)
    with pytest.raises(StorageError, match=r"chips.npy: unreadable or cut off .*; delete it, it is made anew"):
        load_faces(folder)


def test_a_person_with_many_pictures_counts_with_the_first(tmp_path: Path) -> None:
    faces = load_faces(prepared(tmp_path, {"ada": [f"{n:02d}" for n in range(12)], "bob": ["1"]})).measured()
    assert np.bincount(faces.labels).tolist() == [10, 1]


def test_evaluation_leaves_out_whom_the_run_used(tmp_path: Path) -> None:
    folder = prepared(tmp_path / "data", {"ada": ["1", "2"], "bob": ["1", "2"], "eve": ["1", "2"], "dan": ["1", "2"]})
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"state": "finished", "settings": {"tower": {"init": ""}}}))
    split = {
        "train": ["ada"],
        "validation": ["bob"],
        "cohort": ["dan"],
        "test": ["eve"],
        "further": ["zoe"],
        "further_cohort": ["kim"],
    }
    (run / "split.json").write_text(json.dumps(split))
    seen = seen_people(run)
    assert seen == {"ada", "bob", "dan", "zoe", "kim"}
    assert unseen_faces(folder, seen - {"dan"}).identities == ["dan", "eve"]
    with pytest.raises(InputError, match="all of its 4 people were used"):
        unseen_faces(folder, {"ada", "bob", "dan", "eve"})
    with pytest.raises(InputError, match="eve is its only unseen person"):
        unseen_faces(folder, seen)
    with pytest.raises(InputError, match="1 of its people are unseen"):
        unseen_strangers(folder, seen)
    assert unseen_strangers(folder, {"ada", "bob"}).identities == ["dan", "eve"]
    everybody = {"ada", "bob", "dan", "eve"}
    assert other_cameras([folder], everybody, may_be_trained_on=True) == {}
    (found,) = other_cameras([folder], {"ada", "bob"}, may_be_trained_on=True).values()
    assert found.identities == ["dan", "eve"]
    with pytest.raises(InputError, match="1 of its people are unseen"):
        other_cameras([folder], everybody - {"eve"}, may_be_trained_on=True)
    with pytest.raises(InputError, match="0 of its people are unseen"):
        other_cameras([folder], everybody, may_be_trained_on=False)


def test_a_person_counts_with_few_pictures_where_unseen_people_are_compared(tmp_path: Path) -> None:
    """Ten each, also of another camera; more only where they are asked for. One picture each gives no genuine comparison."""
    folder = prepared(tmp_path, {"ada": [f"{n:02d}" for n in range(12)], "bob": ["1"], "eve": ["1"]})
    for faces, counts in (
        (unseen_faces(folder, {"eve"}), [10, 1]),
        (unseen_faces(folder, {"eve"}, each=11), [11, 1]),
        (unseen_strangers(folder, {"eve"}), [10, 1]),
    ):
        assert np.bincount(faces.labels).tolist() == counts
    with pytest.raises(InputError, match="not one of 2 unseen people has two pictures"):
        unseen_faces(folder, {"ada"})


def test_whom_the_start_of_a_run_used_is_left_out_too(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"state": "finished", "settings": {"tower": {"init": "first"}}}))
    (tmp_path / "split.json").write_text(json.dumps({"train": ["ada"], "test": ["eve", "dan"], "start": ["kim"]}))
    assert seen_people(tmp_path) == {"ada", "kim"}
    (tmp_path / "split.json").write_text(json.dumps({"train": ["ada"], "test": ["eve", "dan"]}))
    with pytest.raises(InputError, match="does not tell whom first, which it started from, used"):
        seen_people(tmp_path)
    (tmp_path / "split.json").write_text('{"train": ["a')
    with pytest.raises(InputError, match=r"split\.json: missing or unreadable"):
        seen_people(tmp_path)


def test_another_run_excuses_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a run with the file's own split says whom its training used; otherwise its training sets or the user's word are needed."""
    folder = prepared(tmp_path / "data", {"ada": ["1", "2"], "bob": ["1", "2"]})
    model, splits = (
        read_model(MODEL),
        {"own": {"train": ["ada"], "test": ["bob"]}, "other": {"train": ["bob"], "test": ["ada"]}},
    )
    model.record["provenance"]["files"]["split.json"] = hashlib.sha256(as_bytes(splits["own"])).hexdigest()
    monkeypatch.setattr("trainer.unseen.read_model", lambda _: model)
    for name, split in splits.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(json.dumps({"state": "finished", "settings": {"tower": {"init": "dlib"}}}))
        (tmp_path / name / "split.json").write_bytes(as_bytes(split))
    own, other = tmp_path / "own", tmp_path / "other"
    assert people_to_leave_out([MODEL], [own, other], [folder], strangers=False) == {"ada", "bob"}
    assert people_to_leave_out([MODEL, other], [], [folder], strangers=True) == {"bob"}
    for models, runs in (([MODEL], [other]), ([MODEL, other], [])):
        with pytest.raises(InputError, match="or give its own run with --run"):
            people_to_leave_out(models, runs, [folder], strangers=False)
    with pytest.raises(InputError, match="or give --strangers"):
        people_to_leave_out([Path("dlib")], [], [folder], strangers=False)
    assert people_to_leave_out([Path("dlib")], [], [folder], strangers=True) == set()
    monkeypatch.setattr("trainer.unseen.split_of_file", lambda *_: splits["own"])
    assert people_to_leave_out([other, MODEL], [], [folder], strangers=False) == {"ada", "bob"}, "of both models"


def test_large_further_sets_lend_people_to_the_cohort(tmp_path: Path) -> None:
    main = load_faces(prepared(tmp_path / "a", {"ada": ["1"], "bob": ["1", "2"]}))
    many = load_faces(prepared(tmp_path / "b", {"ada": ["1"]} | {f"p{n:03d}": ["333"] for n in range(104)}))
    own = load_faces(prepared(tmp_path / "c", {"me": ["1", "2"]}))
    lent = further_cohort([many, own], main, seed=1)
    assert len(lent) == 21
    assert set(lent) <= {*many.identities} - {"ada"}
    assert lent != further_cohort([many, own], main, seed=2)
    together = main.joined_with(many).joined_with(own)
    chips = kept_chips(together, {"cohort": ["bob"], "further_cohort": lent})
    assert len(chips) == 22  # one picture each
    assert sorted(chips[:][:, 0, 0].tolist()) == [10] + [30] * 21


def test_people_of_another_set_get_their_name_there(tmp_path: Path) -> None:
    for person in ("001", "002", "003"):
        (tmp_path / "in" / person).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "in" / person / "1.png"), np.zeros((8, 8), np.uint8))
    table = tmp_path / "same.tsv"
    table.write_text("# set\tidentity\tname\tcosine\nx\t001\tAda_Byron\t0.9\nx\t002\tBob_Ross\t0.55\n")
    done = import_people(tmp_path / "in", tmp_path / "out", Layout.IDENTITIES, read_renaming("x-", table))
    assert sorted(path.name for path in (tmp_path / "out/pictures").iterdir()) == ["Ada_Byron", "x-003"]
    assert done.left_out == [("002/1.png", "may be a person of another set")]
    table.write_text("001 Ada\n")
    with pytest.raises(InputError, match=r"same\.tsv, line 1"):
        read_renaming("", table)


ROW = np.float32([[0, 0, 0.7, 0]])


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {"names": np.array(["chips/ada/1.png", "chips/ada/x.png"])},
            r"nothing about 1 of 2 pictures, such as chips/ada/22\.png",
        ),
        ({"vectors": np.ones((1, 4))}, r"vectors \(1, 4\) and placements \(2, 4\) for 2 names"),
        ({"vectors": np.ones(2)}, r"vectors \(2,\) and"),
        ({"vectors": np.array([[1.0, np.nan], [1, 1]])}, "1 of 2 rows hold no vector"),
        ({"vectors": np.array([[1.0, 0], [0, 0]])}, "1 of 2 rows hold no vector"),
        ({"placements": ROW.repeat(2, 0) * 0}, "2 of 2 rows hold no vector or no placement"),
        ({"vectors": np.array([["a"], ["b"]])}, "unreadable"),
    ],
)
def test_a_teachers_file_that_does_not_fit_is_told_before_the_training(
    tmp_path: Path, changed: dict[str, np.ndarray], told: str
) -> None:
    folder = taught(prepared(tmp_path, {"ada": ["1", "22"]}), **changed)
    with pytest.raises(InputError, match=f"{told}.*run `trainer teach .*` again"):
        load_with_teaching(folder)


def test_a_teachers_file_that_is_none_is_told(tmp_path: Path) -> None:
    folder = taught(prepared(tmp_path, {"ada": ["1", "22"]}))
    assert load_with_teaching(folder).teaching is not None
    whole = (folder / "teacher.npz").read_bytes()
    lone = io.BytesIO()
    np.save(lone, np.zeros(3))
    for damaged in (b"", b"text", whole[: len(whole) // 2], lone.getvalue()):
        (folder / "teacher.npz").write_bytes(damaged)
        with pytest.raises(InputError, match="unreadable"):
            load_with_teaching(folder)
    (folder / "teacher.npz").unlink()
    with pytest.raises(InputError, match="needs a teacher's vectors"):
        load_with_teaching(folder)


def test_a_teacher_who_was_asked_about_other_chips_is_told(tmp_path: Path) -> None:
    """A placement is relative to the chip of one box, so after another preparation it is meaningless."""
    folder = taught(prepared(tmp_path, {"ada": ["1", "22"]}))
    manifest = json.loads((folder / "prepared.json").read_text())
    manifest["chips"][1]["box"] = [1, 0, 32, 32]
    (folder / "prepared.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="was prepared anew since"):
        load_with_teaching(folder)
    with np.load(folder / "teacher.npz") as saved:
        np.savez(folder / "teacher.npz", **{key: saved[key] for key in ("names", "vectors", "placements")})
    assert load_with_teaching(folder).teaching is not None, "other programs' files, and older ones, do not say"


def test_two_teachers_of_other_lengths_are_told(tmp_path: Path) -> None:
    one, other = (
        load_with_teaching(taught(prepared(tmp_path / name, {name: ["1", "22"]}), numbers))
        for name, numbers in (("a", 4), ("b", 8))
    )
    with pytest.raises(InputError, match="vectors of 4 and of 8 numbers"):
        one.joined_with(other)
