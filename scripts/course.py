#!/usr/bin/env python3
"""Runs the parts of docs/course.md that need NumPy, and compares what they print.

    python3 -m venv /tmp/course && /tmp/course/bin/pip install numpy
    /tmp/course/bin/python scripts/course.py target/release/cnnctl

The other commands of that page are run by `cargo test --test main guides`. Exits with 1 if a command fails or prints something else.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "course.md"


def main():
    program = pathlib.Path(sys.argv[1]).resolve()
    path = os.pathsep.join([str(program.parent), str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
    printed, ran = None, 0
    with tempfile.TemporaryDirectory() as folder:
        for head, body in re.findall(r"^```(\w.*)\n([^`]*?)^```$", PAGE.read_text(), re.MULTILINE):
            language, _, rest = head.partition(" ")
            if language in ("prototxt", "python") and rest:
                (pathlib.Path(folder) / rest).write_text(body)
            elif head == "sh numpy":
                print(body.strip())
                done = subprocess.run(["sh", "-ec", body], cwd=folder, env=os.environ | {"PATH": path}, stdout=subprocess.PIPE, text=True)
                print(done.stdout)
                if done.returncode:
                    sys.exit(f"status {done.returncode}")
                printed, ran = done.stdout, ran + 1
            elif language == "sh":
                printed = None
            elif language == "output" and printed is not None:
                missing = [line for line in body.splitlines() if line.strip() not in printed]
                if missing:
                    sys.exit(f"not printed: {missing}")
    print(f"{ran} parts ran")
    return 0 if ran else 1


if __name__ == "__main__":
    sys.exit(main())
