#!/usr/bin/env python3
"""PyTorch CPU peer timings for Caffe's nets.  Prints one JSON document.

  python3 benches/peers/torch_nets.py \
        [--nets lenet,cifar10_quick,...] [--modes eager,channels_last,compile,compile_cl] \
        [--threads 2] [--min-time 3] [--min-iters 5] [--max-iters 200] [--warmup 3] [--lrn native|band|both] \
        [--out FILE]
  --smoke : 1 warm-up and 1 iteration of everything, small batch (checks that it runs; not a timing)

Every (net, mode, lrn) runs in a fresh process, so that a crash or a slow compile in one leaves the others alone.
What is measured, median over the iterations, in ms (random data, fixed in memory, no data loading):
  forward_ms       TRAIN-phase forward with loss, no autograd tape   (what `caffe time` calls forward)
  infer_ms         eval-phase forward without loss                    (inference_mode)
  fwd_bwd_ms       forward with loss + backward (grads set to None before), weights only: data gets no gradient, as in Caffe
  step_ms          fwd_bwd + SGD(momentum .9, weight decay 5e-4), fused CPU optimizer where torch has it
  peak_mb          the most memory in use until then, in MiB
Nets follow Caffe's prototxts: ceil-mode pooling, Caffe's LRN, groups, ResNet with the stride in the 1x1 (He's Caffe files).
"""
import argparse, json, os, statistics, subprocess, sys, time

NETS = ["lenet", "cifar10_quick", "cifar10_full", "caffenet", "alexnet", "age", "squeezenet11", "resnet18", "resnet50",
        "mobilenet", "googlenet", "vgg16"]
MODES = ["eager", "channels_last", "compile", "compile_cl"]
HAS_LRN = {"cifar10_full", "caffenet", "alexnet", "age", "googlenet"}
# parameter counts of the Caffe originals (weights + biases; BatchNorm's running mean/var not counted)
PARAMS = {"lenet": 431080, "cifar10_quick": 145578, "cifar10_full": 89578, "caffenet": 60965224, "alexnet": 60965224,
          "age": 11415048, "squeezenet11": 1235496}


def build(name, lrn):
    import torch, torch.nn as nn, torch.nn.functional as F

    class BandLRN(nn.Module):           # the same across-channel LRN, its window sum as a banded 1x1 convolution
        def __init__(s, ch, size=5, alpha=1e-4, beta=.75):
            super().__init__()
            i = torch.arange(ch)
            band = ((i[:, None] - i[None, :]).abs() <= size // 2).float() * (alpha / size)
            s.register_buffer("w", band[:, :, None, None], persistent=False)
            s.beta = beta
        def forward(s, x):
            d = F.conv2d(x * x, s.w).add(1.0)
            if s.beta == .75:
                r = d.rsqrt()
                return x * r * r.sqrt()  # d**-0.75
            return x * d.pow(-s.beta)

    class WithinLRN(nn.Module):         # Caffe's WITHIN_CHANNEL: x * (1 + alpha * avepool(x^2))**-beta
        def __init__(s, size=3, alpha=5e-5, beta=.75):
            super().__init__()
            s.size, s.alpha, s.beta = size, alpha, beta
        def forward(s, x):
            d = F.avg_pool2d(x * x, s.size, 1, s.size // 2, count_include_pad=True).mul(s.alpha).add(1.0)
            if lrn == "band":
                r = d.rsqrt()
                return x * r * r.sqrt()
            return x * d.pow(-s.beta)

    def LRN(ch):
        return BandLRN(ch) if lrn == "band" else nn.LocalResponseNorm(5, 1e-4, .75, 1.0)

    C = nn.Conv2d
    R = lambda: nn.ReLU(inplace=True)
    MP = lambda k=3, s=2: nn.MaxPool2d(k, s, ceil_mode=True)
    AP = lambda k=3, s=2: nn.AvgPool2d(k, s, ceil_mode=True)
    L, D = nn.Linear, lambda: nn.Dropout(.5)
    Fl = nn.Flatten

    if name == "lenet":
        net, shape, cls = nn.Sequential(C(1, 20, 5), MP(2, 2), C(20, 50, 5), MP(2, 2), Fl(), L(800, 500), R(), L(500, 10)), (64, 1, 28, 28), 10
    elif name == "cifar10_quick":
        net, shape, cls = nn.Sequential(C(3, 32, 5, 1, 2), MP(), R(), C(32, 32, 5, 1, 2), R(), AP(), C(32, 64, 5, 1, 2), R(), AP(),
                                        Fl(), L(1024, 64), L(64, 10)), (100, 3, 32, 32), 10
    elif name == "cifar10_full":
        net, shape, cls = nn.Sequential(C(3, 32, 5, 1, 2), MP(), R(), WithinLRN(), C(32, 32, 5, 1, 2), R(), AP(), WithinLRN(),
                                        C(32, 64, 5, 1, 2), R(), AP(), Fl(), L(1024, 10)), (100, 3, 32, 32), 10
    elif name == "caffenet":            # pool, then norm
        net, shape, cls = nn.Sequential(C(3, 96, 11, 4), R(), MP(), LRN(96), C(96, 256, 5, 1, 2, groups=2), R(), MP(), LRN(256),
                                        C(256, 384, 3, 1, 1), R(), C(384, 384, 3, 1, 1, groups=2), R(), C(384, 256, 3, 1, 1, groups=2), R(), MP(),
                                        Fl(), L(9216, 4096), R(), D(), L(4096, 4096), R(), D(), L(4096, 1000)), (32, 3, 227, 227), 1000
    elif name == "alexnet":             # norm, then pool
        net, shape, cls = nn.Sequential(C(3, 96, 11, 4), R(), LRN(96), MP(), C(96, 256, 5, 1, 2, groups=2), R(), LRN(256), MP(),
                                        C(256, 384, 3, 1, 1), R(), C(384, 384, 3, 1, 1, groups=2), R(), C(384, 256, 3, 1, 1, groups=2), R(), MP(),
                                        Fl(), L(9216, 4096), R(), D(), L(4096, 4096), R(), D(), L(4096, 1000)), (32, 3, 227, 227), 1000
    elif name == "age":                 # Levi & Hassner 2015
        net, shape, cls = nn.Sequential(C(3, 96, 7, 4), R(), MP(), LRN(96), C(96, 256, 5, 1, 2), R(), MP(), LRN(256),
                                        C(256, 384, 3, 1, 1), R(), MP(), Fl(), L(384 * 7 * 7, 512), R(), D(), L(512, 512), R(), D(), L(512, 8)), (50, 3, 227, 227), 8
    elif name == "squeezenet11":
        class Fire(nn.Module):
            def __init__(s, i, q, e):
                super().__init__()
                s.q, s.a, s.b = C(i, q, 1), C(q, e, 1), C(q, e, 3, 1, 1)
            def forward(s, x):
                x = F.relu(s.q(x), inplace=True)
                return torch.cat([F.relu(s.a(x), inplace=True), F.relu(s.b(x), inplace=True)], 1)
        net, shape, cls = nn.Sequential(C(3, 64, 3, 2), R(), MP(), Fire(64, 16, 64), Fire(128, 16, 64), MP(), Fire(128, 32, 128), Fire(256, 32, 128), MP(),
                                        Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256), D(), C(512, 1000, 1), R(),
                                        nn.AdaptiveAvgPool2d(1), Fl()), (16, 3, 227, 227), 1000
    elif name in ("resnet18", "resnet50"):
        BN = lambda c: nn.BatchNorm2d(c, eps=1e-5, momentum=1e-3)   # Caffe: moving_average_fraction .999
        class Block(nn.Module):
            def __init__(s, i, m, o, st, proj, bott):
                super().__init__()
                if bott:                # Caffe/He: the stride is in the first 1x1
                    s.f = nn.Sequential(C(i, m, 1, st, bias=False), BN(m), R(), C(m, m, 3, 1, 1, bias=False), BN(m), R(), C(m, o, 1, bias=False), BN(o))
                else:
                    s.f = nn.Sequential(C(i, m, 3, st, 1, bias=False), BN(m), R(), C(m, o, 3, 1, 1, bias=False), BN(o))
                s.p = nn.Sequential(C(i, o, 1, st, bias=False), BN(o)) if proj else nn.Identity()
            def forward(s, x):
                return F.relu(s.f(x) + s.p(x), inplace=True)
        bott = name == "resnet50"
        reps = (3, 4, 6, 3) if bott else (2, 2, 2, 2)
        ex = 4 if bott else 1
        ls, i = [C(3, 64, 7, 2, 3, bias=bott), BN(64), R(), MP()], 64
        for k, n in enumerate(reps):
            m = 64 << k
            for j in range(n):
                ls.append(Block(i, m, m * ex, 2 if k and not j else 1, j == 0, bott)); i = m * ex
        ls += [nn.AvgPool2d(7, 1), Fl(), L(i, 1000)]
        net, shape, cls = nn.Sequential(*ls), (8, 3, 224, 224), 1000
    elif name == "mobilenet":
        BN = lambda c: nn.BatchNorm2d(c, eps=1e-5, momentum=1e-3)
        ls, i = [C(3, 32, 3, 2, 1, bias=False), BN(32), R()], 32
        for o, st in ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1)):
            ls += [C(i, i, 3, st, 1, groups=i, bias=False), BN(i), R(), C(i, o, 1, bias=False), BN(o), R()]; i = o
        net, shape, cls = nn.Sequential(*ls, nn.AvgPool2d(7), Fl(), L(1024, 1000)), (8, 3, 224, 224), 1000
    elif name == "googlenet":           # without the auxiliary classifiers
        class Inception(nn.Module):
            def __init__(s, i, a, b, c, d, e, f):
                super().__init__()
                s.w = nn.ModuleList([nn.Sequential(C(i, a, 1), R()), nn.Sequential(C(i, b, 1), R(), C(b, c, 3, 1, 1), R()),
                                     nn.Sequential(C(i, d, 1), R(), C(d, e, 5, 1, 2), R()), nn.Sequential(nn.MaxPool2d(3, 1, 1), C(i, f, 1), R())])
            def forward(s, x):
                return torch.cat([w(x) for w in s.w], 1)
        I = Inception
        net = nn.Sequential(C(3, 64, 7, 2, 3), R(), MP(), LRN(64), C(64, 64, 1), R(), C(64, 192, 3, 1, 1), R(), LRN(192), MP(),
                            I(192, 64, 96, 128, 16, 32, 32), I(256, 128, 128, 192, 32, 96, 64), MP(), I(480, 192, 96, 208, 16, 48, 64),
                            I(512, 160, 112, 224, 24, 64, 64), I(512, 128, 128, 256, 24, 64, 64), I(512, 112, 144, 288, 32, 64, 64),
                            I(528, 256, 160, 320, 32, 128, 128), MP(), I(832, 256, 160, 320, 32, 128, 128), I(832, 384, 192, 384, 48, 128, 128),
                            nn.AvgPool2d(7), nn.Dropout(.4), Fl(), L(1024, 1000))
        shape, cls = (16, 3, 224, 224), 1000
    elif name == "vgg16":
        ls, i = [], 3
        for n, o in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
            for _ in range(n): ls += [C(i, o, 3, 1, 1), R()]; i = o
            ls.append(nn.MaxPool2d(2))
        net, shape, cls = nn.Sequential(*ls, Fl(), L(25088, 4096), R(), D(), L(4096, 4096), R(), D(), L(4096, 1000)), (4, 3, 224, 224), 1000
    else:
        raise SystemExit("unknown net " + name)
    return net, shape, cls


def med(f, a):
    for _ in range(a.warmup):
        f()
    ts, t_end = [], time.perf_counter() + a.min_time
    while len(ts) < a.min_iters or (time.perf_counter() < t_end and len(ts) < a.max_iters):
        t = time.perf_counter(); f(); ts.append((time.perf_counter() - t) * 1e3)
    return dict(median=round(statistics.median(ts), 3), min=round(min(ts), 3), max=round(max(ts), 3), n=len(ts))


def peak_mb():
    """The most memory that this process had at a time."""
    line = next(s for s in open("/proc/self/status") if s.startswith("VmHWM"))
    return round(int(line.split()[1]) / 1024, 1)


def one(a):
    import torch, torch.nn.functional as F
    torch.set_num_threads(a.threads)
    torch.set_num_interop_threads(1)
    torch.manual_seed(1)
    name, mode, lrn = a.one.split(":")
    net, shape, cls = build(name, lrn)
    n_par = sum(p.numel() for p in net.parameters())
    if a.batch: shape = (a.batch,) + shape[1:]
    x = torch.randn(shape)
    y = torch.randint(cls, (shape[0],))
    if mode in ("channels_last", "compile_cl"):
        net = net.to(memory_format=torch.channels_last); x = x.to(memory_format=torch.channels_last)
    try:
        opt = torch.optim.SGD(net.parameters(), 1e-4, momentum=.9, weight_decay=5e-4, fused=True); opt_kind = "fused"
    except Exception:
        opt = torch.optim.SGD(net.parameters(), 1e-4, momentum=.9, weight_decay=5e-4); opt_kind = "foreach/for"
    raw = net
    lossf = lambda m: F.cross_entropy(m(x), y)
    t0 = time.perf_counter()
    if mode.startswith("compile"):
        net = torch.compile(raw)
    net.train()
    def fwd():
        with torch.no_grad(): lossf(net)
    def fwdbwd():
        for p in raw.parameters(): p.grad = None
        lossf(net).backward()
    def step():
        for p in raw.parameters(): p.grad = None
        lossf(net).backward(); opt.step()
    def infer():
        with torch.inference_mode(): net(x)
    r = dict(net=name, mode=mode, lrn=lrn if name in HAS_LRN else None, batch=shape[0], input=list(shape), params=n_par,
             params_caffe=PARAMS.get(name), optimizer=opt_kind)
    r["fwd_bwd_ms"] = med(fwdbwd, a)
    r["step_ms"] = med(step, a)
    r["peak_mb"] = peak_mb()            # of a process that has only trained; the compiler's memory counts
    r["forward_ms"] = med(fwd, a)
    raw.eval(); net.eval()
    r["infer_ms"] = med(infer, a)
    r["loss_finite"] = bool(torch.isfinite(lossf(raw)))
    r["wall_s"] = round(time.perf_counter() - t0, 1)
    print("@@" + json.dumps(r), flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--nets", default=",".join(NETS)); p.add_argument("--modes", default=",".join(MODES))
    p.add_argument("--threads", type=int, default=2); p.add_argument("--batch", type=int, default=0)
    p.add_argument("--min-time", type=float, default=3.); p.add_argument("--min-iters", type=int, default=5)
    p.add_argument("--max-iters", type=int, default=200); p.add_argument("--warmup", type=int, default=3)
    p.add_argument("--lrn", default="both", choices=["native", "band", "both"])
    p.add_argument("--timeout", type=float, default=900.); p.add_argument("--out"); p.add_argument("--smoke", action="store_true"); p.add_argument("--one")
    a = p.parse_args()
    if a.smoke: a.min_time, a.min_iters, a.max_iters, a.warmup, a.batch = 0., 1, 1, 1, a.batch or 2
    if a.one: return one(a)
    env = dict(os.environ, OMP_NUM_THREADS=str(a.threads), MKL_NUM_THREADS=str(a.threads), CUDA_VISIBLE_DEVICES="")
    res = []
    for n in a.nets.split(","):
        for m in a.modes.split(","):
            for l in (["native", "band"] if a.lrn == "both" and n in HAS_LRN else ["native" if a.lrn == "both" else a.lrn]):
                cmd = [sys.executable, os.path.abspath(__file__), "--one", f"{n}:{m}:{l}"]
                for k in ("threads", "batch", "min_time", "min_iters", "max_iters", "warmup"):
                    cmd += ["--" + k.replace("_", "-"), str(getattr(a, k))]
                try:
                    o = subprocess.run(cmd, capture_output=True, text=True, env=env, timeout=a.timeout)
                    j = [s[2:] for s in o.stdout.splitlines() if s.startswith("@@")]
                    r = json.loads(j[-1]) if j else dict(net=n, mode=m, lrn=l, error=o.stderr[-600:])
                except subprocess.TimeoutExpired:
                    r = dict(net=n, mode=m, lrn=l, error=f"over {a.timeout} s")
                res.append(r)
                g = lambda k: r.get(k, {}).get("median") if "error" not in r else None
                print(f"{n:14s}{m:14s}{r.get('lrn') or '-':8s}fwd {g('forward_ms')}  fwd+bwd {g('fwd_bwd_ms')}  step {g('step_ms')}  infer {g('infer_ms')} ms"
                      + ("  ERROR " + r["error"].strip().splitlines()[-1][:120] if r.get("error") else ""), file=sys.stderr, flush=True)
    import torch
    doc = dict(peer="torch", version=torch.__version__, mkldnn=torch.backends.mkldnn.is_available(), cpu=torch.backends.cpu.get_cpu_capability(),
               cpu_model=next((s.split(":")[1].strip() for s in open("/proc/cpuinfo") if s.startswith("model name")), ""), threads=a.threads,
               smoke=a.smoke, load_1m=os.getloadavg()[0], when=time.strftime("%FT%TZ", time.gmtime()), results=res)
    s = json.dumps(doc, indent=1)
    print(s)
    if a.out: open(a.out, "w").write(s + "\n")


if __name__ == "__main__":
    main()
