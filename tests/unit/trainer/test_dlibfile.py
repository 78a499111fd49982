"""The reader of dlib's network file, on a small made-up one; and the tower, against dlib itself if that is installed."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge.contract.errors import InputError
from trainer.dlibfile import Convolution, DlibNetwork, find_weights, read_dlib
from trainer.networks import SiameseHead, build_tower
from trainer.resnet import MEANS, SCALE, STAGES, build_resnet, load_dlib
from trainer.settings import Network, TowerSettings
from trainer.verifier import embed


def number(value: int) -> bytes:
    size = max(1, (abs(value).bit_length() + 7) // 8)
    return bytes([size | (0x80 if value < 0 else 0)]) + abs(value).to_bytes(size, "little")


def tensor(values: np.ndarray) -> bytes:
    return number(2) + number(values.size) + number(1) * 3 + struct.pack(f"<{values.size}f", *values.ravel())


def name(text: str) -> bytes:
    return number(len(text)) + text.encode()


def convolution(filters: np.ndarray, bias: np.ndarray, gamma: np.ndarray, beta: np.ndarray, stride: int) -> bytes:
    out, _, rows, columns = filters.shape
    body = name("con_4") + tensor(np.concatenate([filters.ravel(), bias]))
    body += b"".join(number(n) for n in (out, rows, columns, stride, stride)) + b"\x01\x00" * 7
    return body + name("affine_") + tensor(np.concatenate([gamma, beta])) + b"\x01\x05"


RNG = np.random.default_rng(0)
FILTERS = [RNG.normal(size=shape).astype(np.float32) for shape in ((4, 3, 7, 7), (5, 4, 3, 3))]
MATRIX = RNG.normal(size=(5, 2)).astype(np.float32)


def file_of(*parts: bytes) -> bytes:
    return b"\x01\x02\x01\x01relu_" + b"".join(parts) + name("fc_2") + number(2) + number(5) + tensor(MATRIX)


@pytest.fixture
def made_up(tmp_path: Path) -> Path:
    ones = [
        convolution(f, np.arange(len(f)), np.full(len(f), 2.0), np.full(len(f), -1.0), 3 - n) for n, f in enumerate(FILTERS, 1)
    ]
    (tmp_path / "small.dat").write_bytes(file_of(*ones))
    return tmp_path / "small.dat"


def test_layers_are_read_in_order_with_the_affine_folded_in(made_up: Path) -> None:
    """y = 2 (w x + b) - 1 = (2 w) x + (2 b - 1), and out-in-row-column becomes row-column-in-out."""
    network = read_dlib(made_up)
    assert [c.stride for c in network.convolutions] == [2, 1]
    for found, filters in zip(network.convolutions, FILTERS, strict=True):
        assert np.allclose(found.filters, 2 * filters.transpose(2, 3, 1, 0))
        assert np.allclose(found.bias, 2 * np.arange(len(filters)) - 1)
    assert np.array_equal(network.matrix, MATRIX)


def test_a_cut_or_other_file_is_told(made_up: Path, tmp_path: Path) -> None:
    whole = made_up.read_bytes()
    for length in (0, 10, 60, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.dat").write_bytes(whole[:length])
        with pytest.raises(InputError, match="cut off"):
            read_dlib(tmp_path / "cut.dat")
    # A layer without filters: overwrites the number of filters, two bytes, which follows the values of the layer's tensor.
    at = whole.index(number(4) + number(7) * 2)
    (tmp_path / "none.dat").write_bytes(whole[:at] + number(0).ljust(2, b"\0") + whole[at + 2 :])
    with pytest.raises(InputError, match="0 filters of 7x7"):
        read_dlib(tmp_path / "none.dat")
    with pytest.raises(InputError, match="cannot read"):
        read_dlib(tmp_path / "missing.dat")
    with pytest.raises(InputError, match="another network"):
        load_dlib(build_tower(TowerSettings(network=Network.RESNET), 150), read_dlib(made_up))


def random_network() -> DlibNetwork:
    """A network of the true shapes with small random weights."""
    shapes, before = [(7, 7, 3, 32)], 32
    for number_, (maps, blocks) in enumerate(STAGES):
        for block in range(blocks):
            shapes += [(3, 3, before if number_ and block == 0 else maps, maps), (3, 3, maps, maps)]
        before = maps
    rng = np.random.default_rng(1)
    convolutions = [
        Convolution(rng.normal(0, 0.05, shape).astype(np.float32), rng.normal(0, 0.1, shape[3]).astype(np.float32), 1)
        for shape in shapes
    ]
    return DlibNetwork(convolutions, rng.normal(size=(256, 128)).astype(np.float32))


def test_a_grey_picture_meets_the_sum_of_the_three_colours() -> None:
    """The first output of the stem, computed by a naive loop over colours, against the tower's."""
    network, tower = random_network(), build_tower(TowerSettings(network=Network.RESNET), 150)
    load_dlib(tower, network)
    chip = np.random.default_rng(2).integers(0, 256, (150, 150)).astype(np.float32)
    first = network.convolutions[0]
    expected = first.bias.astype(np.float64).copy()
    for row in range(7):
        for column in range(7):
            for colour in range(3):
                expected += (chip[row, column] - MEANS[colour]) / SCALE * first.filters[row, column, colour]
    stem = tower.get_layer("stem_conv")
    found = np.asarray(stem(tower.get_layer("stem_squares")(chip[None, :8, :8, None] / SCALE)))[0, 0, 0]
    assert np.allclose(found, expected, atol=1e-4)


def test_a_colour_tower_takes_the_colours_in_opencvs_order() -> None:
    """The network gives the same for R, G, B and for B, G, R, and in grey the same as for a picture with equal colours."""
    network = random_network()
    rgb, bgr, grey = (build_resnet(118, channels) for channels in (3, 3, 1))
    load_dlib(rgb, network)
    load_dlib(bgr, network, bgr=True)
    load_dlib(grey, network)
    chips = np.random.default_rng(4).integers(0, 256, (2, 118, 118, 3)).astype(np.float32)
    assert np.allclose(rgb(chips), bgr(chips[..., ::-1]), rtol=1e-3, atol=0.05)
    alike = np.repeat(chips[..., :1], 3, axis=-1)
    assert np.allclose(bgr(alike), grey(alike[..., :1]), rtol=1e-3, atol=0.05)


def test_the_towers_blocks_keep_the_size_that_dlib_gives() -> None:
    tower = build_tower(TowerSettings(network=Network.RESNET), 150)
    sizes = {f"s{n}b0_add": tower.get_layer(f"s{n}b0_add").output.shape[1] for n in range(5)}
    assert sizes == {"s0b0_add": 35, "s1b0_add": 17, "s2b0_add": 8, "s3b0_add": 4, "s4b0_add": 2}
    with pytest.raises(InputError, match="even side from 118 to 256"):
        build_tower(TowerSettings(network=Network.RESNET), 64)


def test_the_saved_tower_needs_nothing_of_the_trainer(tmp_path: Path) -> None:
    """The exporter reads it with Keras alone."""
    build_tower(TowerSettings(network=Network.RESNET), 150).save(tmp_path / "tower.keras")
    code = "import sys, keras; keras.models.load_model(sys.argv[1], compile=False); assert 'trainer' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "tower.keras")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_tower_is_dlibs() -> None:
    dlib = pytest.importorskip("dlib", reason="dlib is not installed; `make bench` installs it")
    tower = build_tower(TowerSettings(network=Network.RESNET), 150)
    load_dlib(tower, read_dlib(find_weights()))
    chip = np.random.default_rng(3).integers(0, 256, (150, 150)).astype(np.uint8)
    theirs = dlib.face_recognition_model_v1(str(find_weights())).compute_face_descriptor(np.repeat(chip[:, :, None], 3, axis=2))
    assert np.abs(embed(tower, chip[None])[0] - np.array(theirs)).max() < 1e-5


def test_a_normalising_head_in_keras_is_the_head_in_numpy() -> None:
    from edge.contract.score import score

    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(3, 128)).astype(np.float32), rng.normal(size=(5, 128)).astype(np.float32)
    head = SiameseHead(normalise=True)
    head.build((None, 128))
    logits = np.asarray(head(left, right), np.float64)
    expected = np.stack([score(head.to_numpy(), probe, right) for probe in left])
    assert np.allclose(1 / (1 + np.exp(-logits)), expected, atol=1e-5)
    assert np.allclose(score(head.to_numpy(), left[0], 7 * right), expected[0])
