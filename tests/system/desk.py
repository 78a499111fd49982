"""A desk in the rig: users who log in there or over the network, a camera that shows whom a test chooses, real polkit and logind.

A login is a logind session, opened by pam_systemd as for a login screen or sshd.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.system.installed import UNIT, Installed
from tests.system.rig import SHARED

PROGRAMS = ("sudo", "pamtester", "pkttyagent", "loginctl", "fprintd-enroll", "fprintd-verify", "fprintd-list", "fprintd-delete")
PAM_MODULES = ("pam_fprintd.so", "pam_systemd.so")
SSH_AT = "192.0.2.1"  # from a block reserved for documentation, so no host has it
PASSWORDS = {"ada": "correct horse", "eve": "battery staple"}
ADMINISTRATOR = "ada"

_SETTINGS = """[service]
mode = "on-demand"
linger_s = 0.0
idle_exit_s = {}
[compat]
fprintd = true
"""
# pam_fprintd before the password, as in Debian's own profile; ten seconds is the shortest timeout that it accepts.
FACE = "auth sufficient pam_fprintd.so max-tries=1 timeout=10\n"
PASSWORD = "@include common-auth\n"
_PAM = {
    "rig-desk": "account required pam_permit.so\nsession required pam_systemd.so class=user type=tty\n",
    "rig-network": "account required pam_permit.so\nsession required pam_systemd.so class=user type=tty\n"
    f"session required pam_exec.so quiet stdout {SHARED}/inside.sh\n",
    "rig-login": FACE + PASSWORD + "account required pam_permit.so\n",
    "sudo": FACE + PASSWORD + "@include common-account\n",
}
_INSIDE = f"""#!/bin/sh
# Run by PAM in a session that has just been opened: what a person types there. Not exec: a failure would be the session's.
[ "$PAM_TYPE" = open_session ] || exit 0
user=$(id -u "$PAM_USER")
export XDG_RUNTIME_DIR="/run/user/$user" LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin
setpriv --reuid="$user" --regid="$user" --init-groups sh {SHARED}/typed 2>&1
exit 0
"""
_WITH_AGENT = """#!/bin/sh
# polkit's agent asks for passwords in this terminal, for the program that takes this shell's place once the agent is there.
(pkttyagent --process $$ --notify-fd 1 &) | cat
exec "$@"
"""


def lacking() -> str:
    """Debian's programs and PAM modules that are missing on this machine; empty if none is."""
    programs = [name for name in PROGRAMS if shutil.which(name) is None]
    modules = [name for name in PAM_MODULES if not any(Path("/usr/lib").glob(f"*/security/{name}"))]
    return ", ".join(programs + modules)


@dataclass(frozen=True)
class Screen:
    """All that was on the screen, and the exit code."""

    code: int
    text: str

    @property
    def asked_for_a_face(self) -> bool:
        """Whether pam_fprintd's prompt was shown."""
        return "Place your finger" in self.text

    @property
    def asked_for_a_password(self) -> bool:
        """Whether the password prompt of sudo or pam_unix was shown."""
        return "assword" in self.text


class Desk:
    """See the module. ada is an enrolled subject, eve a stranger; both are users."""

    def __init__(self, device: Installed) -> None:
        self.device, self.rig = device, device.rig
        etc = self.rig.root / "etc"
        for name, text in _PAM.items():
            (etc / "pam.d" / name).write_text(text)
        common = etc / "pam.d/common-auth"
        common.write_text(
            common.read_text().replace("pam_unix.so", "pam_unix.so nodelay")
        )  # no delay of two seconds after a wrong password
        for name, text in (("inside.sh", _INSIDE), ("with-agent.sh", _WITH_AGENT)):
            (self.rig.shared / name).write_text(text)
            (self.rig.shared / name).chmod(0o755)
        for user, password in PASSWORDS.items():
            self.rig.run("useradd", "--create-home", "--shell", "/bin/sh", user)
            self.rig.run("sh", "-c", f"echo '{user}:{password}' | chpasswd")
            (etc / "sudoers.d" / user).write_text(f"{user} ALL=(ALL:ALL) ALL\n")
        (etc / "sudoers.d/tries").write_text("Defaults passwd_tries=1\n")
        self.rig.run("usermod", "--append", "--groups", "sudo", ADMINISTRATOR)

    def open(self) -> None:
        """Starts the service, in fprintd's place."""
        self.rig.run("systemctl", "mask", "fprintd.service")
        self.start()

    def stand_in_for_fprintd(self) -> None:
        """Does what docs/dbus.md says to do so that the bus starts the service for fprintd's clients."""
        self.rig.run("systemctl", "unmask", "fprintd.service")
        path = self.rig.property(UNIT, "FragmentPath")
        self.rig.run("ln", "-s", path, "/etc/systemd/system/fprintd.service")
        self.rig.run("systemctl", "daemon-reload")

    def close(self) -> None:
        """Leaves the service stopped, and ada enrolled."""
        self.rig.run("systemctl", "stop", UNIT)
        self.rig.run("systemctl", "unmask", "fprintd.service")
        (self.rig.root / "var/lib/facelatch/gallery/eve.faces").unlink(missing_ok=True)
        self.show("")

    def start(self, replay: str = "fast", idle_exit_s: float = 0.0) -> None:
        """Writes the settings and restarts the service."""
        self.device.configure(SHARED / "camera.avi", _SETTINGS.format(idle_exit_s), replay)
        self.rig.run("systemctl", "restart", UNIT)

    def show(self, clip: str) -> None:
        """Sets the clip that the camera shows from its next opening on; with an empty name there is no camera. Removes the lockout."""
        camera = self.rig.shared / "camera.avi"
        camera.unlink(missing_ok=True)
        if clip:
            camera.symlink_to(f"{clip}.avi")
        (self.rig.root / "var/lib/facelatch/lockout.json").unlink(missing_ok=True)

    def here(self, user: str, *words: str, typed: str = "", agent: str = "") -> Screen:
        """Runs a command in a terminal at the desk. `typed` answers its password prompt, `agent` that of polkit's agent."""
        session = ["--property=PAMName=rig-desk", "--setenv=XDG_SEAT=seat0"]
        with_agent = [f"{SHARED}/with-agent.sh"] if agent else []
        return self._service(user, *session, "--", *in_terminal(typed or agent, *with_agent, *words))

    def over_the_network(self, user: str, command: str) -> Screen:
        """Runs a shell command in a login over the network."""
        (self.rig.shared / "typed").write_text(command)
        ops = ("open_session", "close_session")
        told = self._service("root", "--", "pamtester", "-I", "rhost=192.0.2.7", "rig-network", user, *ops)
        assert told.code == 0, told.text
        return told

    def serve_ssh(self) -> None:
        """Starts a real SSH server on an address of the rig's own, Debian's but without passwords, and lets root's key log in as ada."""
        self.rig.run("systemctl", "start", "systemd-user-sessions.service")  # until then pam_nologin keeps everybody out
        self.rig.run("mkdir", "-p", "/run/sshd", "/root/.ssh")
        self.rig.run("ip", "address", "replace", f"{SSH_AT}/32", "dev", "lo")
        self.rig.run("ssh-keygen", "-q", "-A")
        self.rig.run("sh", "-c", "test -e /root/.ssh/rig || ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/rig")
        self.rig.run("install", "-d", "-m", "0700", "-o", "ada", "/home/ada/.ssh")
        self.rig.run("install", "-m", "0600", "-o", "ada", "/root/.ssh/rig.pub", "/home/ada/.ssh/authorized_keys")
        asked = (
            ("ListenAddress", SSH_AT),
            ("UsePAM", "yes"),
            ("PasswordAuthentication", "no"),
            ("KbdInteractiveAuthentication", "no"),
        )
        options = [word for key, value in asked for word in ("-o", f"{key}={value}")]
        self.rig.run(
            "systemd-run", "--quiet", "--unit=rig-sshd", "--property=Restart=on-failure", "/usr/sbin/sshd", "-D", "-e", *options
        )

    def over_ssh(self, user: str, command: str, typed: str = "") -> Screen:
        """Runs a command in a terminal of a login over SSH; `typed` answers its password prompt."""
        hosts = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        login = ["ssh", "-tt", "-i", "/root/.ssh/rig", "-o", "BatchMode=yes", "-o", "ConnectionAttempts=10", *hosts]
        return self._service("root", "--", *in_terminal(typed, *login, f"{user}@{SSH_AT}", command))

    def service(self, user: str, *words: str, typed: str = "") -> Screen:
        """Runs a command as a user without a session, as a system service or cron does, but in a terminal."""
        return self._service(user, "--", *in_terminal(typed, *words))

    def _service(self, user: str, *words: str) -> Screen:
        run = ("systemd-run", "--quiet", "--wait", "--pipe", "--collect", f"--uid={user}", "--setenv=LANG=C.UTF-8")
        done = self.rig.run(*run, *words, check=False, timeout_s=40)
        return Screen(done.returncode, (done.stdout + done.stderr).replace("\r", ""))


def in_terminal(password: str, *words: str) -> list[str]:
    """The words that run a command in a terminal of its own and answer its password prompt."""
    return ["python3", f"{SHARED}/terminal.py", *filter(None, [password]), "--", *words]
