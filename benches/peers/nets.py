"""The nets of the comparison, and how cnnctl and Caffe run them: on constants, without a data set."""

import os
import pathlib
import re
import statistics
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).parent.parent.parent
CNNCTL = ROOT / "target/release/cnnctl"
# Our name, PyTorch's, and the shape of the input.
NETS = {
    "lenet": ("lenet", "64,1,28,28"),
    "cifar10_quick": ("cifar10_quick", "100,3,32,32"),
    "cifar10_full": ("cifar10_full", "100,3,32,32"),
    "caffenet": ("caffenet", "16,3,227,227"),
    "caffenet+": ("caffenet", "32,3,227,227"),
    "age_net": ("age", "50,3,227,227"),
    "squeezenet": ("squeezenet11", "16,3,227,227"),
    "resnet18": ("resnet18", "8,3,224,224"),
    "resnet50": ("resnet50", "8,3,224,224"),
    "mobilenet": ("mobilenet", "8,3,224,224"),
    "googlenet": ("googlenet", "16,3,224,224"),
    "vgg16": ("vgg16", "4,3,224,224"),
}
SMALL = ("lenet", "cifar10_quick", "cifar10_full")
# Layers that read data; in their place constants are fed.
SOURCES = ("Data", "ImageData", "HDF5Data", "Input")


def run(command, **env):
    """What a program that must succeed wrote, and the most megabytes of memory that it had at a time."""
    # What pins a BLAS to a kernel would slow it down; who means to do so says it in `env`.
    clean = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
    command = [str(word) for word in command]
    with tempfile.TemporaryFile("w+") as text:
        process = subprocess.Popen(command, stdout=text, stderr=subprocess.STDOUT, env=clean | env)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        text.seek(0)
        written = text.read()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} gave {process.returncode}:\n{written[-800:]}")
    return written, used.ru_maxrss / 1024


def blocks(text):
    """The top-level parts of a net's text: layers, and the rest."""
    at, depth = 0, 0
    for match in re.finditer(r'"[^"]*"|\'[^\']*\'|#[^\n]*|[{}]', text):
        if match[0] in "{}":
            depth += 1 if match[0] == "{" else -1
            if depth == 0:
                yield text[at : match.end()]
                at = match.end()


def write_net(folder, net, shape, iterations):
    """Writes `net.prototxt`, fed with constants, and a solver of so many iterations."""
    model = (ROOT / "models" / net / "train_val.prototxt").read_text()
    kept = [b for b in blocks(model) if not re.search(rf'type:\s*"({"|".join(SOURCES)})"', b)]
    of = lambda dims: "shape { " + " ".join(f"dim: {d}" for d in dims) + " }"
    data = of(shape.split(",")) + of(shape.split(",")[:1])
    source = f"layer {{ name: 'data' type: 'DummyData' top: 'data' top: 'label' dummy_data_param {{ {data} }} }}\n"
    (folder / "net.prototxt").write_text(source + "".join(kept))
    (folder / "solver.prototxt").write_text(
        f"net: '{folder}/net.prototxt' base_lr: 1e-6 lr_policy: 'fixed' momentum: 0.9 weight_decay: 5e-4 solver_mode: CPU "
        f"display: 1 max_iter: {iterations + 2} snapshot_prefix: '{folder}/s' snapshot_after_train: false"
    )


def step(log):
    """Milliseconds of a training step: the time between two lines of its log."""
    found = re.findall(r"^I\d+ (\d+):(\d+):([\d.]+).*Iteration \d+[ ,].*loss = ", log, re.M)
    seconds = [3600 * int(h) + 60 * int(m) + float(s) for h, m, s in found]
    return 1e3 * statistics.median((b - a) % 86400 for a, b in zip(seconds[1:], seconds[2:]))


def averages(log):
    """Milliseconds of the forward pass, and of both passes, as `time` prints them, if there are both."""
    return [float(ms) for ms in re.findall(r"Average (?:Forward pass|Forward-Backward): ([0-9.e+]+) ms", log)]


def cnnctl(net, shape, threads):
    """Milliseconds of each part, and megabytes."""
    model = ROOT / "models" / net / "train_val.prototxt"
    iterations = 50 if net in SMALL else 5

    def timed(phase, *more):
        command = [CNNCTL, "time", "--model", model, "--shape", f"data={shape}", "--threads", threads, "--phase", phase]
        return averages(run([*command, "--iterations", iterations, *more])[0])

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write_net(folder, net, shape, 2 * iterations)
        log, memory = run([CNNCTL, "train", "--solver", folder / "solver.prototxt", "--threads", threads])
    return [*timed("TEST", "--forward-only"), *timed("TRAIN"), step(log), memory]


def caffe(binary, net, shape, threads, core):
    """The same of Caffe, whose threads are those of OpenBLAS, which runs the kernels of this `core` (its own choice if empty)."""
    iterations = 20 if net in SMALL else 2
    env = {"OPENBLAS_NUM_THREADS": str(threads)} | ({"OPENBLAS_CORETYPE": core} if core else {})
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write_net(folder, net, shape, iterations)
        timing = [binary, "time", f"-model={folder}/net.prototxt", f"-iterations={iterations}"]
        test, _ = run([*timing, "-phase=TEST"], **env)
        train, _ = run([*timing, "-phase=TRAIN"], **env)
        log, memory = run([binary, "train", f"-solver={folder}/solver.prototxt"], **env)
    return [averages(test)[0], *averages(train), step(log), memory]


def fastest_core(binary):
    """The kernels of OpenBLAS that are fastest here: it does not know processors younger than itself, and takes its oldest."""
    flags = re.search(r"^flags\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)[1].split()
    cores = ["", *(["Haswell"] if "avx2" in flags else []), *(["SkylakeX"] if "avx512dq" in flags else [])]
    return min(cores, key=lambda core: caffe(binary, "cifar10_quick", NETS["cifar10_quick"][1], 1, core)[2])
