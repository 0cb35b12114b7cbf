"""Become a server that dies with its parent: `python child.py PARENT SIGNAL USER COMMAND …`.

Run as a script of its own, before exec, because the parent has threads; USER is a name to
change to, or `-`. Linux forgets the death signal when the user changes, so that comes first.
"""

import ctypes
import os
import pwd
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Never returns."""
    parent, number, user, *command = sys.argv[1:]
    if user != "-":
        account = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
        os.environ["HOME"] = "/"
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != int(parent):
        # The parent died before the line above.
        os.kill(os.getpid(), signal.SIGKILL)
    # A terminal's Ctrl-C is for the parent, which stops its servers in order.
    os.setsid()
    os.execv(command[0], command)  # noqa: S606 - the point of this script


if __name__ == "__main__":
    main()
