"""Our fprintd interface is that of Debian's fprintd package, member by member, and our polkit actions have its defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("dbus_fast")

from dbus_fast.service import ServiceInterface

import edge.bus.fprint as fprint
from edge.bus.authority import Action

POLICY = Path(__file__).parents[4] / "deploy/io.facelatch.policy"
INTERFACES, ACTIONS = Path("/usr/share/dbus-1/interfaces"), Path("/usr/share/polkit-1/actions")
# fprintd's action for each of ours. fprintd checks the third if a caller names a user other than itself.
OF_FPRINTD = {Action.VERIFY: "verify", Action.ENROLL: "enroll", Action.OTHERS: "setusername"}
WHO = ("allow_any", "allow_inactive", "allow_active")


def of_fprintd(path: Path) -> ElementTree.Element:
    """Parses a file of Debian's fprintd package; skips the test if it is not installed."""
    if not path.exists():
        pytest.skip(f"no {path}: apt install fprintd")
    return ElementTree.parse(path).getroot()


def members(interface: ElementTree.Element) -> Iterator[tuple[str, ...]]:
    """Kind, name, and signature or access of each member. Arguments of signals count as out: fprintd's file gives them no direction."""
    for member in interface:
        if member.tag == "property":
            yield "property", member.attrib["name"], member.attrib["type"], member.attrib["access"]
        elif member.tag in ("method", "signal"):
            default = "in" if member.tag == "method" else "out"
            arguments = [(arg.get("direction", default), arg.attrib["type"]) for arg in member.findall("arg")]
            signature = {way: "".join(kind for to, kind in arguments if to == way) for way in ("in", "out")}
            yield member.tag, member.attrib["name"], signature["in"], signature["out"]


@pytest.mark.parametrize(
    ("name", "make"), [("Manager", fprint.ManagerInterface), ("Device", lambda: fprint.DeviceInterface(None, None, None, 8))]
)
def test_the_interface_is_fprintds(name: str, make: Callable[[], ServiceInterface]) -> None:
    root = of_fprintd(INTERFACES / f"net.reactivated.Fprint.{name}.xml")
    (theirs,) = root.findall("interface")
    ours = make().introspect().to_xml()
    assert ours.attrib["name"] == theirs.attrib["name"]
    assert sorted(members(ours)) == sorted(members(theirs))
    # Neither has an EmitsChangedSignal annotation, so its default "true" applies: changes are sent (test_follow.py).
    assert [list(element.iter("annotation")) for element in (ours, theirs)] == [[], []]


def defaults(root: ElementTree.Element) -> dict[str, dict[str, str | None]]:
    """Each action's authorisation without a polkit rule, by kind of session."""
    return {action.attrib["id"]: {who: action.findtext(f"defaults/{who}") for who in WHO} for action in root.findall("action")}


def test_an_action_lets_nobody_do_more_than_fprintds() -> None:
    theirs = defaults(of_fprintd(ACTIONS / "net.reactivated.fprint.device.policy"))
    ours = defaults(ElementTree.parse(POLICY).getroot())
    assert ours == {action: theirs[f"net.reactivated.fprint.device.{name}"] for action, name in OF_FPRINTD.items()}
    assert len(theirs) == len(ours)


def test_the_service_may_ask_polkit_about_others_for_each_action() -> None:
    """Besides root, polkit lets only the owner of an action ask about somebody else, and the daemon does not run as root."""
    for action in ElementTree.parse(POLICY).getroot().findall("action"):
        owner = action.find("annotate[@key='org.freedesktop.policykit.owner']")
        assert owner is not None, action.attrib["id"]
        assert owner.text == "unix-user:facelatch"
