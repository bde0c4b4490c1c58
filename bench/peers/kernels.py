#!/usr/bin/env python3
"""PyTorch's times for asd-bench kernels: the peer that runs beside it.

    kernels.py --device cpu|cuda --threads N        (started by asd-bench; --threads 0: PyTorch's choice)

One JSON object a line each way. It greets with {"peer": "PyTorch 2.x"}, or {"skip": "why"} where there
is none. A request names op, pass, dtype and the shapes of inputs and output; the answer is
{"median_s", "p20_s", "p80_s", "repeats", "form"}, or {"skip": "why"} when PyTorch has nothing like it.

On the CPU calls are eager, as users run them. On a GPU the calls are captured in a CUDA graph, as ours
are ("form": "graph"); what cannot be captured runs eager. The backward is autograd's alone: the forward
ran before, and the graph is kept. Adam is AdamW(fused) with clip_grad_norm_ before it.
"""
import argparse
import json
import math
import os
import signal
import sys
import time

EACH = 5e-6  # seconds: shorter calls are timed several at once, as in asd-bench


def shapes_agree(y, want):
    return tuple(y.shape) == tuple(want) or (want in ([], [1]) and y.numel() == 1)


class Ops:
    """One function an op: tensors in, tensor out; None when there is nothing to set beside ours."""

    def __init__(self, torch, request, device):
        self.torch, self.device = torch, device
        self.training = request["training"]
        self.output = request["output"]
        self.case = request["case"]
        self.F = torch.nn.functional

    def linear(self, x, w, b=None):
        if w.dim() == 2:
            return self.F.linear(x, w, b)
        y = self.torch.bmm(x, w.transpose(1, 2)) if b is None else self.torch.baddbmm(
            b.unsqueeze(1), x, w.transpose(1, 2))
        return y

    def bias(self, x, b):
        if b.dim() == 2:  # groups
            b = b.reshape(b.shape[0], *[1] * (x.dim() - 2), b.shape[1])
        return x + b

    def batchnorm(self, x, w, b, mean, variance):
        if w.dim() != 1:
            return None
        y = self.F.batch_norm(x, mean, variance, w, b, self.training, 0.01, 1e-3)
        return self.F.relu(y) if "relu" in self.case else y

    def layernorm(self, x, w, b, residual=None):
        return self.F.layer_norm(x if residual is None else x.add(residual, alpha=2.2), w.shape, w, b)

    def relu(self, x):
        return self.F.relu(x)

    def gelu(self, x):
        return self.F.gelu(x)

    def softmax(self, x):
        return self.F.softmax(x, -1)

    def dropout(self, x):
        return self.F.dropout(x, 0.1, self.training)

    def l2norm(self, x):
        return self.F.normalize(x, dim=-1)

    def meanpool(self, x):
        return x.mean(1)

    def attention(self, qkv, table=None, w=None, b=None, a=None):
        """SDPA; BEATs' gated bias as a dense mask. A forward is given the mask ready made; a backward goes
        through it, since gate and table want their gradients."""
        heads = int(self.case.split("H=")[1].split(",")[0])
        q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in qkv.chunk(3, -1))
        mask = None
        if table is not None:
            if not hasattr(self, "mask") or self.torch.is_grad_enabled():
                self.mask = self._gated_bias(q, table, w, b, a)
            mask = self.mask
        y = self.F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return y.transpose(1, 2).flatten(2)

    def _gated_bias(self, q, table, w, b, a):
        torch, P, kind = self.torch, q.shape[2], q.dtype
        d = torch.arange(P, device=self.device)[None, :] - torch.arange(P, device=self.device)[:, None]
        half, far = table.shape[0] // 2, 800
        exact, n = half // 2, d.abs()
        long = exact + (torch.log(n.clamp(min=1) / exact) / math.log(far / exact) * (half - exact)).long()
        bucket = torch.where(n < exact, n, long.clamp(max=half - 1)) + half * (d > 0)
        bias = table.to(kind)[bucket].permute(2, 0, 1)
        u = (q @ w.to(kind).T + b.to(kind)).unflatten(-1, (2, 4)).sum(-1).sigmoid()
        gate = u[..., :1] * (u[..., 1:] * a.to(kind)[None, :, None, None] - 1) + 2
        return gate * bias

    def meanstd(self, x):
        std, mean = self.torch.std_mean(x, 1, correction=0)
        return self.torch.cat((mean, std), -1)

    def gempool(self, x):
        return x.clamp_min(1e-6).pow(3).mean(1).pow(1 / 3)

    def bandmean(self, x):
        return x.reshape(x.shape[0], self.output[1], -1, x.shape[2]).mean(2)

    def add(self, a, b):
        return self.torch.add(a, b, alpha=0.5)

    def weightnorm(self, g, v):
        return self.torch._weight_norm(v, g.reshape(1, 1, -1), 2)

    def posconv(self, x, w, b):
        """Channels first, as Conv1d wants it and BEATs turns it, and back."""
        y = self.F.conv1d(x.transpose(1, 2), w.to(x.dtype), b.to(x.dtype), padding=w.shape[2] // 2,
                          groups=x.shape[2] // w.shape[1])
        return y[..., :x.shape[1]].transpose(1, 2)

    def take(self, x):
        first = 1 if "patches" in self.case else 0
        return x[:, first:first + self.output[1]].clone()

    def tokens(self, x, table, cls=None):
        x = x + table[:x.shape[1]].to(x.dtype)
        return x if cls is None else self.torch.cat((cls.to(x.dtype).expand(x.shape[0], 1, -1), x), 1)

    def patches(self, x):
        pt, pf, mel_first = (4, 64, True) if "dasheng" in self.case else (16, 16, False)
        rows, columns = x.shape[1] // pt, x.shape[2] // pf
        y = x[:, :rows * pt, :columns * pf].reshape(-1, rows, pt, columns, pf)
        return y.permute(0, 1, 3, 4, 2).reshape(self.output) if mel_first else y.transpose(2, 3).reshape(self.output)

    def mse(self, x, y):
        if self.output and self.output != [1]:
            return self.F.mse_loss(x, y, reduction="none").flatten(1).mean(1)
        return self.F.mse_loss(x, y)

    def frame_stack(self, frames, index):
        rows = index.numel()
        stack = 1
        for d in self.output:
            stack *= d
        stack //= rows * frames.shape[1]
        at = index.reshape(-1, 1).long() + self.torch.arange(stack, device=self.device)
        return frames.index_select(0, at.flatten()).reshape(self.output)

    def logmel(self, x):
        torch, (_, frames, mels) = self.torch, self.output
        n_fft, hop = 1024, 512
        if 1 + x.shape[1] // hop != frames:
            return None
        if not hasattr(self, "bank"):
            self.window = torch.hann_window(n_fft, device=self.device)
            self.bank = torch.rand(mels, n_fft // 2 + 1, device=self.device)  # its values cost nothing
        if x.dtype == torch.int16:
            x = x.float() / 32768
        z = torch.stft(x, n_fft, hop, window=self.window, pad_mode="constant", return_complex=True)
        power = z.real.square() + z.imag.square()
        return (10 * torch.log10((self.bank @ power).clamp_min(2.2e-16))).transpose(1, 2)

    def fbank(self, x):
        """As torchaudio.compliance.kaldi does it, all clips at once; a table of ones costs as much as a true one."""
        torch, (_, rows, mels) = self.torch, self.output
        if not hasattr(self, "bank"):
            self.window = torch.hann_window(400, periodic=False, device=self.device).pow(0.85)
            self.bank = torch.ones(mels, 257, device=self.device)
        x = x.float() if x.dtype == torch.int16 else x * 32768
        frame = x.unfold(1, 400, 160)
        frame = frame - frame.mean(2, keepdim=True)
        frame = frame - 0.97 * self.F.pad(frame, (1, 0), mode="replicate")[..., :-1]
        z = torch.fft.rfft(frame * self.window, 512)
        power = z.real.square() + z.imag.square()
        y = (power @ self.bank.T).clamp_min(2.0 ** -23).log()
        y = self.F.pad(y, (0, 0, 0, rows - y.shape[1]))
        return (y - 15.41663) / 13.11164

    def meldb(self, x):
        torch, (_, frames, mels) = self.torch, self.output
        n_fft, hop = 512, 160
        if 1 + x.shape[1] // hop != frames:
            return None
        if not hasattr(self, "bank"):
            self.window = torch.hann_window(n_fft, device=self.device)
            self.bank = torch.ones(mels, n_fft // 2 + 1, device=self.device)
        if x.dtype == torch.int16:
            x = x.float() / 32768
        z = torch.stft(x, n_fft, hop, window=self.window, pad_mode="reflect", return_complex=True)
        power = z.real.square() + z.imag.square()
        y = 10 * torch.log10((self.bank @ power).clamp_min(1e-10))
        return torch.maximum(y, y.amax((1, 2), keepdim=True) - 120).transpose(1, 2)


def make_inputs(torch, request, device):
    kinds = {"f32": torch.float32, "bf16": torch.bfloat16, "i16": torch.int16, "i32": torch.int32}
    torch.manual_seed(1)
    inputs = []
    for shape, name in zip(request["inputs"], request["input_dtypes"]):
        kind = kinds[name]
        if kind == torch.int16:
            x = torch.randint(-10000, 10000, shape, device=device).to(kind)
        elif kind == torch.int32:
            limit = max(1, request["inputs"][0][0] - 16)
            x = torch.randint(0, limit, shape, device=device).to(kind)
        else:
            x = torch.randn(shape, device=device).to(kind)
        inputs.append(x)
    return inputs


def make_op(torch, request, device):
    """A function without arguments that does the work once, or why there is none."""
    ops = Ops(torch, request, device)
    function = getattr(ops, request["op"], None)
    if function is None or request["op"].startswith("_"):
        return None, "PyTorch has no op like it"
    inputs = make_inputs(torch, request, device)
    backward = request["pass"] == "bwd"
    if not backward:
        torch.set_grad_enabled(False)
    try:
        if request["op"] == "batchnorm":
            inputs[4] = inputs[4].abs() + 0.5
        grad = []
        if backward:
            fixed = {"batchnorm": (3, 4)}.get(request["op"], ())
            grad = [x.requires_grad_() for i, x in enumerate(inputs)
                    if x.is_floating_point() and i not in fixed]
        y = function(*inputs)
        if y is None:
            return None, "nothing to set beside this form"
        if not shapes_agree(y, request["output"]):
            return None, f"gives {tuple(y.shape)}, ours {tuple(request['output'])}"
        if not backward:
            return (lambda: function(*inputs)), ""
        dy = torch.randn_like(y)
        return (lambda: torch.autograd.grad(y, grad, dy, retain_graph=True)), ""
    except (TypeError, ValueError) as e:
        return None, f"not of this form: {e}"


def make_adam(torch, request, device):
    n = int(request["bytes"] / 28)
    w = torch.randn(n, device=device, requires_grad=True)
    w.grad = torch.randn(n, device=device)
    adam = torch.optim.AdamW([w], lr=1e-3, fused=True, capturable=device == "cuda")

    def step():
        torch.nn.utils.clip_grad_norm_([w], 1.0, foreach=True)
        adam.step()

    return step, ""


def quantiles(times):
    times.sort()
    n = len(times)
    middle = times[n // 2] if n % 2 else (times[n // 2 - 1] + times[n // 2]) / 2
    return dict(median_s=middle, p20_s=times[n // 5], p80_s=times[n - 1 - n // 5], repeats=n)


def time_cpu(call, seconds):
    end = time.perf_counter() + 0.2 * seconds
    while True:
        begin = time.perf_counter()
        call()
        once = time.perf_counter() - begin
        if time.perf_counter() > end:
            break
    each = max(1, int(EACH / max(once, 1e-8)))
    times, end = [], time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        begin = time.perf_counter()
        for _ in range(each):
            call()
        times.append((time.perf_counter() - begin) / each)
    return dict(quantiles(times), form="eager")


def time_cuda(torch, call, seconds):
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(11):
            call()
        stream.synchronize()
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record(stream)
        call()
        last.record(stream)
        stream.synchronize()
        calls = int(min(500, max(1, 2e-3 / max(1e-3 * first.elapsed_time(last), 1e-7))))
        form, graph = "graph", torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=stream):
                for _ in range(calls):
                    call()
            run = graph.replay
        except RuntimeError:
            form = "eager"

            def run():
                for _ in range(calls):
                    call()

        run()
        stream.synchronize()
        times, end = [], time.perf_counter() + seconds
        while not times or time.perf_counter() < end:
            first.record(stream)
            run()
            last.record(stream)
            stream.synchronize()
            times.append(1e-3 * first.elapsed_time(last) / calls)
    return dict(quantiles(times), form=form)


def answer(torch, request, device):
    torch.set_grad_enabled(True)
    make = make_adam if request["op"] == "adam" else make_op
    call, why = make(torch, request, device)
    if call is None:
        return dict(skip=why)
    if device == "cuda":
        return time_cuda(torch, call, request["seconds"])
    result = time_cpu(call, request["seconds"])
    time.sleep(0.02)  # its threads go to sleep before ours work
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # asd-bench stops, and this with it
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not stand between the answers

    def say(o):
        out.write(json.dumps(o) + "\n")
        out.flush()

    try:
        import torch
    except ImportError as e:
        say(dict(skip=f"{sys.executable} has no PyTorch ({e})"))
        return
    if args.device == "cuda" and not torch.cuda.is_available():
        say(dict(skip=f"PyTorch {torch.__version__} of {sys.executable} sees no CUDA device"))
        return
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = False  # ours computes fp32 in fp32
    say(dict(peer=f"PyTorch {torch.__version__}"))
    for line in sys.stdin:
        try:
            say(answer(torch, json.loads(line), args.device))
        except Exception as e:  # one line without a time; the others go on
            say(dict(skip=f"{type(e).__name__}: {str(e)[:150]}"))


main()
