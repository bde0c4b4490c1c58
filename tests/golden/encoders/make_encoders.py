#!/usr/bin/env python3
"""Known answers of small encoders, made by the original implementations.

    make_encoders.py --beats DIR --eat DIR --dasheng DIR --out DIR

DIR are checkouts: beats/ of github.com/microsoft/unilm, github.com/cwx-worst-one/EAT and
github.com/RicherMans/Dasheng. Needs PyTorch, NumPy and einops. The networks have 2 blocks, 64 wide, 2
heads; their weights are made from their tensors' names (tests/ref/synthetic.h), so files hold answers
only: tokens of every layer, the loss sum(tokens x r("cotangent")) and its gradients, whole for tensors of at
most 1024 elements, else their L2 norm. Everything is computed in double precision.

What the originals import and these networks do not need is replaced by empty modules here. The audio
front-ends of torchaudio are written out anew below. Dasheng's frozen batch normalisation is written out
too: PyTorch's backward of it is wrong behind a permutation.
"""
import argparse
import json
import math
import struct
import sys
import types
from pathlib import Path

import numpy as np
import torch

WIDE, HEADS, MLP, DEPTH = 64, 2, 128, 2


def sequence(name, n):
    """n numbers in [-1, 1) that belong to a name."""
    mask = (1 << 64) - 1
    h = 0xcbf29ce484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001b3) & mask
    with np.errstate(over="ignore"):
        z = np.uint64(h) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype(np.float64) / 2 ** 23 - 1


def fill(tensor, name, add, factor):
    """add + factor r(name), rounded to fp32."""
    x = (add + factor * sequence(name, tensor.numel())).astype(np.float32)
    tensor.data.copy_(torch.from_numpy(x).reshape(tensor.shape))


# --- front-ends, from their definitions ---

def mel_filters(points, frequencies, scale):
    left, centre, right = (scale(points[i:len(points) - 2 + i])[:, None] for i in range(3))
    f = scale(frequencies)[None, :]
    return np.maximum(0, np.minimum((f - left) / (centre - left), (right - f) / (right - centre)))


def fbank(x, window, mean, divisor, frames=None):
    """Kaldi's, 128 mels, of (S) samples."""
    n = 1 + (len(x) - 400) // 160
    f = np.stack([x[160 * i:160 * i + 400] for i in range(n)])
    f = f - f.mean(1, keepdims=True)
    f = f - 0.97 * np.concatenate([f[:, :1], f[:, :-1]], 1)
    power = np.abs(np.fft.rfft(f * window, 512)[:, :256]) ** 2
    lo, hi = (1127 * math.log(1 + v / 700) for v in (20, 8000))
    mels = lo + (hi - lo) / 129 * np.arange(130)
    k = 1127 * np.log(1 + 31.25 * np.arange(256) / 700)
    y = np.log(np.maximum(power @ mel_filters(mels, k, lambda v: v).T, 2.0 ** -23))
    if frames:
        y = np.concatenate([y, np.zeros((max(0, frames - n), 128))])[:frames]
    return (y - mean) / divisor


def mel_db(x):
    """torchaudio's mel spectrogram in dB, 64 mels, of (S) samples: (T, 64)."""
    x = np.pad(x, 256, mode="reflect")
    n = 1 + (len(x) - 512) // 160
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    f = np.stack([x[160 * i:160 * i + 512] for i in range(n)]) * window
    power = np.abs(np.fft.rfft(f)) ** 2
    points = 700 * (10 ** (np.linspace(0, 2595 * math.log10(1 + 8000 / 700), 66) / 2595) - 1)
    y = 10 * np.log10(np.maximum(power @ mel_filters(points, 31.25 * np.arange(257), lambda v: v).T, 1e-10))
    return np.maximum(y, y.max() - 120)


def sweep(n):
    t = np.arange(n) / 16000
    x = 0.25 * np.sin(2 * np.pi * 440 * t) + 0.15 * np.sin(2 * np.pi * (200 * t + 150 * t * t))
    return (x + 0.05 * sequence("wave", n)).astype(np.float32).astype(np.float64)


def noise(n):
    return (0.1 * sequence("waveform", n)).astype(np.float32).astype(np.float64)


HANN = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)

# --- stand-ins for what is imported and not needed ---


class Anything(torch.nn.Module):
    def __init__(self, *a, **k):
        super().__init__()

    def forward(self, x, *a, **k):
        return x


class Mlp(torch.nn.Module):
    def __init__(self, in_features, hidden_features, act_layer, drop=0):
        super().__init__()
        self.fc1 = torch.nn.Linear(in_features, hidden_features)
        self.act = act_layer()
        self.fc2 = torch.nn.Linear(hidden_features, in_features)

    def forward(self, x):
        return self.fc2(self.act(self.fc1(x)))


def stand_in(name, **attributes):
    m = types.ModuleType(name)
    m.__getattr__ = lambda _: Anything
    m.__path__ = []
    for key, value in attributes.items():
        setattr(m, key, value)
    sys.modules[name] = m
    parent, _, leaf = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], leaf, m)


def pair(x):
    return tuple(x) if isinstance(x, (tuple, list)) else (x, x)


def prepare_imports():
    sys.dont_write_bytecode = True
    for name in ("torchaudio", "torchaudio.compliance", "torchaudio.transforms", "timm", "timm.models",
                 "fairseq", "fairseq.models.wav2vec"):
        if name != "fairseq.models.wav2vec":
            stand_in(name)
    stand_in("torchaudio.compliance.kaldi", fbank=kaldi)
    stand_in("timm.models.layers", to_2tuple=pair)
    stand_in("timm.models.vision_transformer", Mlp=Mlp)
    stand_in("fairseq.modules")
    stand_in("fairseq.dataclass", FairseqDataclass=object)
    stand_in("fairseq.models", register_model=lambda *a, **k: lambda c: c)
    stand_in("fairseq.models.wav2vec")
    stand_in("fairseq.models.wav2vec.wav2vec2")


def kaldi(waveform, **_):
    return torch.from_numpy(fbank(waveform[0].numpy(), HANN ** 0.85, 0, 1))


# --- results ---

def write(path, tensors):
    """safetensors, fp32, little-endian."""
    head, at = {}, 0
    for name, x in tensors.items():
        head[name] = {"dtype": "F32", "shape": list(x.shape), "data_offsets": [at, at + 4 * x.size]}
        at += 4 * x.size
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for x in tensors.values():
            f.write(np.ascontiguousarray(x, dtype="<f4").tobytes())


def results(path, net, layers):
    """layers: (tokens, width) tensors, the last one differentiated."""
    out = {f"layer.{i}": x.detach().numpy() for i, x in enumerate(layers)}
    last = layers[-1]
    r = torch.from_numpy(sequence("cotangent", last.numel()).astype(np.float32).astype(np.float64))
    loss = (last.reshape(-1) * r).sum()
    loss.backward()
    out["loss"] = np.array([loss.item()])
    for name, p in net.named_parameters():
        if p.grad is None:
            continue
        g = p.grad.numpy()
        out[("grad." if g.size <= 1024 else "norm.") + name] = g if g.size <= 1024 else np.array(
            [np.linalg.norm(g)])
    write(path, out)


# --- the networks ---

def beats(folder, path):
    sys.path.insert(0, folder)
    from BEATs import BEATs, BEATsConfig
    cfg = BEATsConfig({"input_patch_size": 16, "embed_dim": 48, "encoder_layers": DEPTH, "encoder_embed_dim": WIDE,
                       "encoder_ffn_embed_dim": MLP, "encoder_attention_heads": HEADS, "deep_norm": True,
                       "relative_position_embedding": True, "max_distance": 800, "gru_rel_pos": True})
    net = BEATs(cfg).double().eval()
    for name, p in net.named_parameters():
        name = name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v")
        if name.endswith(("layer_norm.weight", "weight_g", "grep_a")):
            fill(p, name, 1, 0.1)
        elif name.endswith("relative_attention_bias.weight"):
            fill(p, "encoder.layers.0.self_attn.relative_attention_bias.weight", 0, 1)
        elif name.endswith(".bias"):
            fill(p, name, 0, 0.1)
        elif name.endswith("weight_v"):
            fill(p, name, 0, 1)
        else:
            fill(p, name, 0, math.sqrt(3 / np.prod(p.shape[1:])))
    layers = []
    net.encoder.layer_norm.register_forward_hook(lambda m, i, y: layers.append(y[0]))
    for block in net.encoder.layers:
        block.register_forward_hook(lambda m, i, y: layers.append(y[0][:, 0]))
    net.extract_features(torch.from_numpy(noise(9000))[None])
    results(path, net, layers)


def vit_weights(net):
    for name, p in list(net.named_parameters()) + list(net.named_buffers()):
        if name.endswith("running_mean"):
            fill(p, name, -20, 5)
        elif name.endswith("running_var"):
            fill(p, name, 100, 50)
        elif name.endswith(".weight") and ("norm" in name or name.startswith("init_bn")):
            fill(p, name, 1, 0.1)
        elif name.endswith(".bias") or name.endswith("pos_embed"):
            fill(p, name, 0, 0.1)
        elif name == "extra_tokens":
            fill(p, name, 0, 0.5)
        elif p.dim() > 1 and name.endswith(".weight"):
            gain = 2 if name.endswith("attn.qkv.weight") else 0.25 if name.endswith("attn.proj.weight") else 1
            fill(p, name, 0, gain * math.sqrt(3 / np.prod(p.shape[1:])))


class Eat(torch.nn.Module):
    """The original's blocks, patches and table of places, put together as its encoder does."""

    def __init__(self, modules, mae):
        super().__init__()
        norm = lambda n: torch.nn.LayerNorm(n, eps=1e-6)  # noqa: E731
        self.extra_tokens = torch.nn.Parameter(torch.zeros(1, 1, WIDE))
        self.local_encoder = mae.PatchEmbed_new(img_size=(1024, 128), patch_size=16, in_chans=1, embed_dim=WIDE)
        self.pre_norm = norm(WIDE)
        self.blocks = torch.nn.ModuleList(
            modules.AltBlock(WIDE, HEADS, MLP / WIDE, qkv_bias=True, norm_layer=norm, layer_norm_first=False)
            for _ in range(DEPTH))
        self.table = lambda rows: torch.from_numpy(mae.get_2d_sincos_pos_embed_flexible(WIDE, (rows, 8)))

    def forward(self, f):
        x = self.local_encoder(f[None, None]) + self.table(f.shape[0] // 16)
        layers = [self.pre_norm(torch.cat([self.extra_tokens, x], 1))]
        for block in self.blocks:
            layers.append(block(layers[-1])[0])
        return [x[0] for x in layers]


def eat(folder, path):
    package = types.ModuleType("eat_models")
    package.__path__ = [str(Path(folder) / "models")]
    sys.modules["eat_models"] = package
    import importlib
    net = Eat(importlib.import_module("eat_models.modules"), importlib.import_module("eat_models.mae")).double()
    vit_weights(net)
    features = fbank(sweep(20000), HANN, -4.268, 2 * 4.569, frames=128)
    results(path, net, net(torch.from_numpy(features)))


def dasheng(folder, path, samples):
    for name in ("dasheng", "dasheng.train", "dasheng.pretrained"):
        package = types.ModuleType(name)
        package.__path__ = [str(Path(folder) / name.replace(".", "/"))]
        sys.modules[name] = package
    from dasheng.pretrained.pretrained import Dasheng
    net = Dasheng(embed_dim=WIDE, depth=DEPTH, num_heads=HEADS, mlp_ratio=MLP / WIDE, target_length=1008,
                  patch_size=[64, 4], patch_stride=[64, 4]).double().eval()
    vit_weights(net)
    bn = net.init_bn[1]
    h = (torch.from_numpy(mel_db(sweep(samples))) - bn.running_mean) / torch.sqrt(bn.running_var + bn.eps)
    features = (h * bn.weight + bn.bias).T[None, None]
    taps = [[] for _ in range(DEPTH)]
    for i, block in enumerate(net.blocks):
        block.register_forward_hook(lambda m, a, y, i=i: taps[i].append(y[0]))
    final = net.forward_spectrogram(features)[0]
    results(path, net, [torch.cat(t) for t in taps[:-1]] + [final])


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("beats", "eat", "dasheng", "out"):
        p.add_argument("--" + name, required=True)
    a = p.parse_args()
    prepare_imports()
    out = Path(a.out)
    out.mkdir(parents=True, exist_ok=True)
    beats(a.beats, out / "beats.safetensors")
    eat(a.eat, out / "eat.safetensors")
    dasheng(a.dasheng, out / "dasheng.safetensors", 20000)
    dasheng(a.dasheng, out / "dasheng-chunks.safetensors", 170000)


if __name__ == "__main__":
    main()
