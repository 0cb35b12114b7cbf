"""A fork of the tests' fork server is what a process of its own would be."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.forks import Fork, run_payd, start_python
from support.waiting import PATIENCE_S, wait_until

ITSELF = """
import json, os, random, sys
from pathlib import Path
import beside
print(json.dumps({
    "argv": sys.argv, "path": sys.path[0], "folder": os.getcwd(), "environment": dict(os.environ),
    "beside": beside.__file__, "name": __name__, "random": random.random(),
    "recursion_limit": sys.getrecursionlimit(), "threads": len(os.listdir("/proc/self/task")),
    "open": [fd for fd in os.listdir("/proc/self/fd") if Path(f"/proc/self/fd/{fd}").exists()],
}))
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "beside.py").touch()
    (tmp_path / "itself.py").write_text(ITSELF)
    return tmp_path / "itself.py"


def described(script: Path, *, fresh: bool) -> dict[str, Any]:
    environment = {"PYTHONPATH": str(script.parent / "modules"), "COLOUR": "green"}
    process = start_python(
        [str(script), "one", "two"], env=environment, cwd=script.parent, fresh=fresh
    )
    assert process.stdout
    with process.stdout:
        description: dict[str, Any] = json.loads(process.stdout.read())
    assert process.wait(PATIENCE_S) == 0
    return description


def test_it_has_what_a_fresh_process_has(script: Path) -> None:
    fresh, fork, another = (described(script, fresh=is_fresh) for is_fresh in (True, False, False))
    assert len({each.pop("random") for each in (fresh, fork, another)}) == 3
    for each in (fresh, fork):
        # The C library's, which Python sets where no locale is given.
        each["environment"].pop("LC_CTYPE", None)
    assert fork == fresh


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("pass", 0),
        ("sys.exit()", 0),
        ("sys.exit(78)", 78),
        ("sys.exit('why')", 1),
        ("raise ValueError('why')", 1),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("os._exit(3)", 3),
    ],
)
def test_its_exit_code_is_the_same(tmp_path: Path, statement: str, code: int) -> None:
    script = tmp_path / "ending.py"
    script.write_text(f"import os, signal, sys\n{statement}\n")
    process = Fork([str(script)], env={})
    assert process.wait(PATIENCE_S) == code
    assert process.stdout
    with process.stdout:
        assert ("why" in process.stdout.read()) == ("why" in statement)


def test_it_ends_at_a_signal_and_not_before(tmp_path: Path) -> None:
    script = tmp_path / "waiting.py"
    script.write_text("import time\nprint(1, flush=True)\ntime.sleep(600)\n")
    process = Fork([str(script)], env={})
    assert process.stdout
    with process.stdout:
        assert process.stdout.readline() == "1\n"
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        process.terminate()
        assert process.wait(PATIENCE_S) == -signal.SIGTERM
        process.kill()


def test_threads_and_exit_functions_are_waited_for(tmp_path: Path) -> None:
    script = tmp_path / "last.py"
    script.write_text(
        "import atexit, threading, time\n"
        "atexit.register(print, 'then this')\n"
        "threading.Thread(target=lambda: (time.sleep(0.2), print('first this'))).start()\n"
    )
    process = Fork([str(script)], env={})
    assert process.stdout
    with process.stdout:
        assert process.stdout.read() == "first this\nthen this\n"
    assert process.wait(PATIENCE_S) == 0


def test_a_command_has_its_two_outputs_apart() -> None:
    done = run_payd("serve", "--no-such-option", env={})
    assert (done.returncode, done.stdout) == (2, "")
    assert "No such option" in done.stderr


def test_the_server_ends_with_the_session_that_started_it() -> None:
    program = (
        "import os; from support.forks import Fork\n"
        "process = Fork(['-m', 'payd', '--version'], env={})\n"
        "process.wait(); process.stdout.close()\n"
        "print(open(f'/proc/{os.getpid()}/task/{os.getpid()}/children').read(), flush=True)\n"
        "os._exit(0)\n"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[1])}
    pid = subprocess.check_output([sys.executable, "-c", program], env=environment, text=True)
    wait_until(lambda: not Path(f"/proc/{int(pid)}/exe").exists(), "the fork server ends")
