#!/usr/bin/env python3
"""PyTorch's time of an encoder for asd-bench encoder: the same network, the same weights, the same features.

    encoder.py --file FILE --kind beats|eat|sslam|dasheng --heads H ...        (started by asd-bench)

FILE (safetensors) holds the weights under asd's names, `features` (B, T, F) and asd's `embedding` (B, C). The
answer is one JSON line: {"peer", "seconds": [..], "difference"}, or {"skip": "why"} without PyTorch.

The network is written as PyTorch's users would for speed: fused q, k, v, scaled_dot_product_attention, the
gated relative positions of BEATs as its additive mask, in place where autograd is off. On a GPU the forward
is captured in a CUDA graph.
"""
import argparse
import json
import math
import struct
import sys
import time


def read(path, np):
    with open(path, "rb") as f:
        size = struct.unpack("<Q", f.read(8))[0]
        head = json.loads(f.read(size))
        data = np.frombuffer(f.read(), dtype=np.uint8)
    head.pop("__metadata__", None)
    return {name: data[t["data_offsets"][0]:t["data_offsets"][1]].view(np.float32).reshape(t["shape"]).copy()
            for name, t in head.items()}


class Encoder:
    def __init__(self, torch, w, a):
        self.t, self.F, self.w, self.a = torch, torch.nn.functional, w, a
        self.C = w["blocks.0.proj.weight"].shape[0]
        self.depth = sum(1 for name in w if name.endswith(".qkv.weight"))
        self.beats = "rel_table" in w
        if self.beats:
            g, v = w["pos_conv.weight_g"], w["pos_conv.weight_v"]
            w["pos_conv.weight"] = g * v / v.pow(2).sum((0, 1), keepdim=True).sqrt()

    def linear(self, x, name):
        return self.F.linear(x, self.w[name + ".weight"], self.w.get(name + ".bias"))

    def norm(self, x, name, eps):
        return self.F.layer_norm(x, x.shape[-1:], self.w[name + ".weight"], self.w[name + ".bias"], eps)

    def patches(self, f):
        B, T, M = f.shape
        if self.a.kind == "dasheng":
            return f[:, :T // 4 * 4].reshape(B, T // 4, 4, M).transpose(2, 3).reshape(B, T // 4, M * 4)
        f = f[:, :T // 16 * 16].reshape(B, T // 16, 16, M // 16, 16)
        return f.transpose(2, 3).reshape(B, T // 16 * (M // 16), 256)

    def tokens(self, f):
        x = self.linear(self.patches(f), "patch")
        if self.beats:
            x = self.linear(self.norm(x, "norm_patch", self.a.eps), "proj")
            groups = self.C // self.w["pos_conv.weight"].shape[1]
            c = self.F.conv1d(x.transpose(1, 2), self.w["pos_conv.weight"], self.w["pos_conv.bias"],
                              padding=self.w["pos_conv.weight"].shape[2] // 2, groups=groups)
            return self.norm(x + self.F.gelu(c[:, :, :x.shape[1]].transpose(1, 2)), "norm_in", self.a.eps)
        x = x + self.w["pos"][:x.shape[1]]
        if "freq" in self.w:
            return x + self.w["freq"]
        cls = self.w["cls"].expand(x.shape[0], 1, -1)
        return self.norm(self.t.cat((cls, x), 1), "norm_in", self.a.eps)

    def relative(self, P):
        """(H, P, P): the table by distance, key minus query."""
        t, buckets = self.t, self.w["rel_table"].shape[0] // 2
        d = t.arange(P)[None, :] - t.arange(P)[:, None]
        n, exact = d.abs(), buckets // 2
        far = exact + (t.log(n.clamp(min=1).float() / exact) / math.log(self.a.max_distance / exact) *
                       (buckets - exact)).long()
        index = (d > 0) * buckets + t.where(n < exact, n, far.clamp(max=buckets - 1))
        return self.w["rel_table"].float()[index.to(self.w["rel_table"].device)].permute(2, 0, 1)

    def attention(self, x, i, relative):
        B, P, C = x.shape
        q, k, v = self.linear(x, f"blocks.{i}.qkv").view(B, P, 3, self.a.heads, -1).permute(2, 0, 3, 1, 4)
        bias = None
        if relative is not None:
            u = self.F.linear(q, self.w[f"blocks.{i}.grep_w"], self.w[f"blocks.{i}.grep_b"])
            u = self.t.sigmoid(u.unflatten(-1, (2, 4)).sum(-1))
            gate = u[..., :1] * (u[..., 1:] * self.w[f"blocks.{i}.grep_a"].view(-1, 1, 1) - 1) + 2
            bias = (gate * relative).to(q.dtype)
        y = self.F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.linear(y.transpose(1, 2).reshape(B, P, C), f"blocks.{i}.proj")

    def mlp(self, x, i):
        return self.linear(self.F.gelu(self.linear(x, f"blocks.{i}.fc1")), f"blocks.{i}.fc2")

    def blocks(self, x):
        relative = self.relative(x.shape[1]).to(x.dtype) if self.beats else None
        for i in range(self.depth):
            name = f"blocks.{i}.norm"
            if self.a.kind == "dasheng":
                x = x + self.attention(self.norm(x, name + "1", self.a.eps), i, None)
                x = x + self.mlp(self.norm(x, name + "2", self.a.eps), i)
            else:
                x = self.norm(self.a.alpha * x + self.attention(x, i, relative), name + "1", self.a.eps)
                x = self.norm(self.a.alpha * x + self.mlp(x, i), name + "2", self.a.eps)
        return self.norm(x, "norm", self.a.eps) if "norm.weight" in self.w else x

    def __call__(self, f):
        if self.a.kind == "dasheng" and f.shape[1] // 4 > self.a.chunk:
            parts = [self.blocks(self.tokens(p)) for p in f.split(4 * self.a.chunk, 1) if p.shape[1] >= 4]
            x = self.t.cat(parts, 1)
        else:
            x = self.blocks(self.tokens(f))
        return (x[:, 1:] if "cls" in self.w else x).float().mean(1)


def capture(torch, run):
    """The same call as a CUDA graph's replay; eager where it cannot be captured."""
    try:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                run()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            run()
        return graph.replay
    except RuntimeError:
        return run


def main():
    p = argparse.ArgumentParser()
    for name, kind in (("file", str), ("kind", str), ("heads", int), ("alpha", float), ("eps", float),
                       ("max-distance", int), ("chunk", int), ("frames", int), ("calls", int), ("threads", int),
                       ("device", str), ("precision", str)):
        p.add_argument("--" + name, type=kind, required=True)
    a = p.parse_args()
    try:
        import numpy as np
        import torch
    except ImportError as e:
        print(json.dumps({"skip": f"{e}"}))
        return
    if a.threads:
        torch.set_num_threads(a.threads)
    data = read(a.file, np)
    kind = torch.bfloat16 if a.precision == "bf16" else torch.float32
    features = torch.from_numpy(data.pop("features")[:, :a.frames]).to(a.device, kind)
    want = torch.from_numpy(data.pop("embedding"))
    weights = {k: torch.from_numpy(v).to(a.device) for k, v in data.items()}
    with torch.inference_mode():
        net = Encoder(torch, weights, a)
        net.w = {k: v.to(kind) for k, v in net.w.items()}
        got = net(features).cpu()
        run = lambda: net(features)  # noqa: E731
        if a.device == "cuda":
            run = capture(torch, run)
        seconds = []
        for _ in range(a.calls):
            if a.device == "cuda":
                torch.cuda.synchronize()
            start = time.perf_counter()
            run()
            if a.device == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
    print(json.dumps({"peer": f"PyTorch {torch.__version__}", "seconds": seconds,
                      "difference": float((got - want).abs().max() / want.abs().max())}))


if __name__ == "__main__":
    sys.exit(main())
