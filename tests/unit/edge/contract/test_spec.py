"""A chip specification is accepted only if this version can cut it."""

from __future__ import annotations

import pytest

from edge.contract.errors import ModelUnsupported
from edge.contract.fingerprint import chip_fingerprint
from edge.contract.spec import ChipSpec

GOOD = ChipSpec().to_json()


def test_a_specification_survives_json() -> None:
    assert ChipSpec.from_json(GOOD | {"side_px": 105}) == ChipSpec(side_px=105)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": 2}, "version 2.*export the model again"),
        ({"interpolation": "cubic"}, "cubic"),
        ({"side_px": 8}, "8 px"),
        ({"side_px": 64.0}, "side_px = 64.0"),
        ({"side_px": True}, "side_px = True"),
        ({"scale": "1"}, "scale"),
        ({"scale": 9.0}, "9.0"),
        ({"colour": "yes"}, "colour"),
    ],
)
def test_anything_else_is_refused_by_name(change: dict[str, object], told: str) -> None:
    with pytest.raises(ModelUnsupported, match=told):
        ChipSpec.from_json(GOOD | change)


def test_a_missing_key_and_no_table_are_refused() -> None:
    with pytest.raises(ModelUnsupported, match="scale"):
        ChipSpec.from_json({key: value for key, value in GOOD.items() if key != "scale"})
    with pytest.raises(ModelUnsupported, match="expected a table"):
        ChipSpec.from_json([1])


def test_the_fingerprint_is_the_contracts() -> None:
    """The fingerprint changes only if the bytes of a chip change; then CHIP_VERSION must be raised, too."""
    assert chip_fingerprint(ChipSpec()) == "622466e72cccf7ded17cf9545d70d46241f35aa805a03a25556da2e0b2727f89"
    assert chip_fingerprint(ChipSpec(side_px=105)) != chip_fingerprint(ChipSpec())
