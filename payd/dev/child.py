"""Execute a server that the kernel ends with its parent: `python child.py PARENT SIGNAL USER …`.

USER is an account to change to, or `-`; the server's command line follows. It is a script of its
own because code between fork and exec is unsafe in a parent with threads. Linux clears the death
signal when the user changes, so the user is changed first.
"""

import ctypes
import os
import pwd
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Replace this process by the server."""
    parent, number, user, *command = sys.argv[1:]
    if user != "-":
        account = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
        os.environ["HOME"] = "/"
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != int(parent):
        # The parent died before prctl took effect.
        os.kill(os.getpid(), signal.SIGKILL)
    # A new session, so that Ctrl-C reaches only the parent, which stops its servers in order.
    os.setsid()
    os.execv(command[0], command)  # noqa: S606 - the point of this script


if __name__ == "__main__":
    main()
