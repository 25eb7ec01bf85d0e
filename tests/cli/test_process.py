"""The command line as a process of its own: imports, pipes, terminals, signals, hostile files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENV = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
ENV |= {"PYTHONPATH": str(ROOT), "COLUMNS": "80"}
PROGRAM = [sys.executable, "-m", "archspec"]

posix = pytest.mark.skipif(os.name != "posix", reason="pipes and terminals of POSIX")


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*PROGRAM, *arguments], env={**ENV, **environ}, capture_output=True, timeout=120
    )


SPY = """
import sys
from archspec.cli import main
try:
    main(sys.argv[1:], prog_name="archspec")
finally:
    print("loaded:", *sorted({"torch", "rich", "numpy"} & sys.modules.keys()), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("command", "modules"),
    [
        ("--help", ""),
        ("validate bert resnet50", ""),
        ("validate nope", ""),
        ("export bert --to python", ""),
        ("schema", ""),
        ("show bert --json", ""),
        ("show bert", " rich"),
        ("list", " rich"),
    ],
)
def test_torch_is_not_imported(command: str, modules: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SPY, *command.split()], env=ENV, capture_output=True, text=True
    )
    assert done.stderr.splitlines()[-1] == f"loaded:{modules}"


def test_exit_status_and_streams() -> None:
    good = run("validate", "bert")
    assert (good.returncode, good.stdout, good.stderr) == (0, b"bert: ok\n", b"")
    wrong = run("validate", "bret")
    assert (wrong.returncode, wrong.stdout) == (1, b"")
    assert wrong.stderr.startswith(b"error[E108]: no packaged spec is called 'bret'\n")
    misused = run("validate")
    assert misused.returncode == 2
    assert misused.stderr.startswith(b"Usage: archspec validate [OPTIONS] FILE...\n")


def test_no_colours_in_a_pipe_unless_forced() -> None:
    for command in (["show", "bert"], ["validate", "nope"]):
        done = run(*command)
        assert b"\x1b" not in done.stdout + done.stderr
        forced = run(*command, FORCE_COLOR="1")
        assert b"\x1b[" in forced.stdout + forced.stderr


@posix
def test_a_terminal_gets_colours_and_its_width() -> None:
    import fcntl
    import pty
    import struct
    import termios

    def seen(**environ: str) -> str:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
        env = {k: v for k, v in {**ENV, **environ}.items() if k != "COLUMNS"}
        with subprocess.Popen(
            [*PROGRAM, "list", "resnet-50"], env=env, stdin=theirs, stdout=theirs, stderr=theirs
        ):
            os.close(theirs)
            text = b""
            while chunk := _read(ours):
                text += chunk
        os.close(ours)
        return text.decode()

    assert all(len(line) <= 60 for line in seen(NO_COLOR="1").splitlines())
    assert "resnet50" in seen() and "\x1b" in seen()
    assert "\x1b" not in seen(NO_COLOR="1")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says so when the other side has closed
        return b""


@posix
@pytest.mark.parametrize("command", ["show bert", "export bert --to python", "schema", "--help"])
def test_a_reader_that_leaves_early_is_no_error(command: str) -> None:
    process = subprocess.Popen(
        [*PROGRAM, *command.split()], env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout and process.stderr
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait(60) == (1 if command == "--help" else 141)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_a_full_disk_is_told() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*PROGRAM, "show", "bert"], env=ENV, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1
    assert done.stderr == b"Error: cannot write the output: No space left on device\n"


@posix
def test_a_stream_that_is_closed_is_no_error() -> None:
    line = '"$0" -m archspec show bert >&-'
    done = subprocess.run(["sh", "-c", line, sys.executable], env=ENV, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


@posix
def test_an_interrupt_ends_quietly() -> None:
    slow = (
        "import signal, sys, time; from archspec.lang import spec; from archspec.cli import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored in background jobs
        "def wait(*_): print('ready', flush=True); time.sleep(60)\n"
        "spec.load_with = wait\n"
        "main(['show', 'bert'], prog_name='archspec')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", slow], env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout and process.stderr
    with process.stdout, process.stderr:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == b""
        assert process.wait(60) == 130


@pytest.mark.parametrize("encoding", ["latin-1", "cp437"])
def test_an_encoding_that_lacks_a_character(encoding: str) -> None:
    done = run("show", "resnet50", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"  torchvision   **.shortcut.** ? **.downsample.**" in done.stdout


def test_source_is_utf8_whatever_the_encoding(tmp_path: Path) -> None:
    done = run("export", "resnet50", "--to", "python", PYTHONIOENCODING="latin-1")
    assert "3×3" in done.stdout.decode("utf-8")
    target = tmp_path / "resnet.py"
    run("export", "resnet50", "--to", "python", "-o", str(target))
    assert target.read_bytes() == done.stdout


@posix
def test_what_is_no_regular_file_is_written_to() -> None:
    done = run("export", "bert", "--to", "python", "-o", "/dev/stdout")
    assert done.returncode == 0
    assert done.stdout == run("export", "bert", "--to", "python", "-o", "-").stdout
    assert done.stdout.startswith(b'"""BERT-base')


@posix
def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target, link = tmp_path / "out.py", tmp_path / "link.py"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to("out.py")
    done = run("export", "bert", "--to", "python", "-o", str(link))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert {path.name for path in tmp_path.iterdir()} == {"out.py", "link.py"}
    assert link.is_symlink() and target.stat().st_mode & 0o777 == 0o640
    assert target.read_bytes() == run("export", "bert", "--to", "python").stdout


def test_nothing_is_written_if_something_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "out.py").write_text("old")
    done = run("export", "nope", "--to", "python", "-o", str(tmp_path / "out.py"))
    assert (done.returncode, (tmp_path / "out.py").read_text()) == (1, "old")
    missing = str(tmp_path / "nowhere" / "out.py")
    done = run("export", "bert", "--to", "python", "-o", missing)
    assert done.returncode == 1
    assert done.stderr.decode() == (
        f"Error: Could not open file '{missing}': No such file or directory\n"
    )


def test_an_exported_file_runs_alone(tmp_path: Path) -> None:
    run("export", "resnet18", "--to", "python", "-p", "num_classes=7", "-o", str(tmp_path / "r.py"))
    check = (
        "import sys, r; print(sum(p.numel() for p in r.ResNet().parameters()),"
        " any('archspec' in m for m in sys.modules))"
    )
    env = {k: v for k, v in ENV.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", check], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.stdout == f"{11_689_512 - 993 * 513} False\n", done.stderr


def test_completion() -> None:
    done = run(
        _ARCHSPEC_COMPLETE="bash_complete", COMP_WORDS="archspec show bert-m", COMP_CWORD="2"
    )
    assert done.stdout == b"plain,bert-mlm\nplain,bert-model\nfile,bert-m\n"


HOSTILE = {
    "bomb.yaml": "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(
        f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}]\n"
        for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    ),
    "deep.yaml": "a: " + "[" * 400_000,
    "tag.yaml": "archspec: !!python/object/apply:os.system ['touch owned']\n",
    "power.yaml": "archspec: 1\nmodel: N\nparams: {n: $10**10**10}\nblocks: {N: {}}\n",
    "leaves.yaml": "archspec: 1\nextends: ../../../../etc/passwd.yaml\n",
    "itself.yaml": "archspec: 1\nextends: itself.yaml\n",
    "binary.yaml": "\x00\x01\x02",
    "empty.yaml": "",
}


def test_hostile_files_are_errors_not_tracebacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in HOSTILE.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    done = run("validate", "--json", *HOSTILE)
    assert (done.returncode, done.stderr) == (1, b"")
    results = json.loads(done.stdout)
    codes = {r["file"]: {problem["code"] for problem in r["problems"]} for r in results}
    expected = {
        "bomb.yaml": "E104", "deep.yaml": "E105", "tag.yaml": "E103", "power.yaml": "E307",
        "leaves.yaml": "E109", "itself.yaml": "E110", "binary.yaml": "E101", "empty.yaml": "E107",
    }  # fmt: skip
    assert codes.keys() == expected.keys()
    assert all(expected[file] in codes[file] for file in codes)
    assert not (tmp_path / "owned").exists()
    told = run("validate", *HOSTILE)
    assert (told.returncode, told.stdout) == (1, b"")
    assert b"Traceback" not in told.stderr and told.stderr.endswith(b"\n0 of 8 ok\n")
