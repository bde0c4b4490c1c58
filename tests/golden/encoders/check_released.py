#!/usr/bin/env python3
"""Does asd-embed give what the original implementations give, at full size, from files as they are released?

    check_released.py --beats DIR --eat DIR --dasheng DIR --data DIR --embed asd-embed --work DIR [--every N]

DIR are checkouts as for make_encoders.py, and a data set of 16 kHz clips. For BEATs, EAT, SSLAM and Dasheng it writes
a checkpoint of random weights in the released layout (EAT as fairseq's .pt, SSLAM as Hugging Face's safetensors), lets
asd-embed make the mean over the near channel's tokens, reads that file with h5py, and computes every Nth clip with the
original in double precision. Prints the largest |a - b| / |b| (L2) of a clip and ends with 1 if it is above 2e-5.
Needs PyTorch, NumPy, einops and h5py, two GB of disk, and minutes.
"""
import argparse
import importlib
import subprocess
import sys
import types
import wave
from pathlib import Path

import h5py
import numpy as np
import torch

import make_encoders as small

LIMIT = 2e-5


def near(path):
    with wave.open(str(path)) as w:
        if w.getframerate() != 16000 or w.getsampwidth() != 2:
            sys.exit(f"check_released: {path}: {w.getframerate()} Hz, {8 * w.getsampwidth()} bits; want 16000 and 16")
        x = np.frombuffer(w.readframes(w.getnframes()), dtype="<i2").reshape(-1, w.getnchannels())
    return x[:, 0] / 32768.0


# --- each returns (file, function of samples) ---

def beats(folder, work):
    sys.path.insert(0, folder)
    from BEATs import BEATs, BEATsConfig
    cfg = {"input_patch_size": 16, "embed_dim": 512, "conv_bias": False, "encoder_layers": 12, "encoder_embed_dim": 768,
           "encoder_ffn_embed_dim": 3072, "encoder_attention_heads": 12, "activation_fn": "gelu",
           "layer_norm_first": False, "deep_norm": True, "relative_position_embedding": True, "num_buckets": 320,
           "max_distance": 800, "gru_rel_pos": True, "conv_pos": 128, "conv_pos_groups": 16,
           "layer_wise_gradient_decay_ratio": 1.0}
    net = BEATs(BEATsConfig(cfg)).eval()
    weights = {k.replace("parametrizations.weight.original0", "weight_g").replace(
        "parametrizations.weight.original1", "weight_v"): v for k, v in net.state_dict().items()}
    path = work / "beats.pt"
    torch.save({"cfg": cfg, "model": weights}, path)
    net.double()
    return path, lambda x: net.extract_features(torch.from_numpy(x)[None])[0][0].mean(0)


def vit(folder):
    package = types.ModuleType("eat_models")
    package.__path__ = [str(Path(folder) / "models")]
    sys.modules["eat_models"] = package
    small.WIDE, small.HEADS, small.MLP, small.DEPTH = 768, 12, 3072, 12
    net = small.Eat(importlib.import_module("eat_models.modules"), importlib.import_module("eat_models.mae")).eval()
    torch.nn.init.normal_(net.extra_tokens, std=0.02)
    weights = dict(net.state_dict())
    weights["fixed_positional_encoder.positions"] = net.table(768).float()[None]
    net.double()

    def embed(x):
        frames = 1 + (len(x) - 400) // 160
        f = small.fbank(x, small.HANN, -4.268, 2 * 4.569, frames=(frames + 31) // 32 * 32)
        return net(torch.from_numpy(f))[-1][1:].mean(0)
    return weights, embed


def eat(folder, work):
    weights, embed = vit(folder)
    names = {}
    for key, value in weights.items():
        if key.startswith("pre_norm."):
            key = "context_encoder.norm." + key[len("pre_norm."):]
        names[key if key.startswith("blocks.") else "modality_encoders.IMAGE." + key] = value
    path = work / "eat.pt"
    torch.save({"args": None, "cfg": {"model": {"_name": "data2vec_multi"}}, "model": names}, path)
    return path, embed


def sslam(folder, work):
    weights, embed = vit(folder)
    path = work / "sslam.safetensors"
    small.write(path, {"model." + key: value.numpy() for key, value in weights.items()})
    return path, embed


def dasheng(folder, work):
    for name in ("dasheng", "dasheng.train", "dasheng.pretrained"):
        package = types.ModuleType(name)
        package.__path__ = [str(Path(folder) / name.replace(".", "/"))]
        sys.modules[name] = package
    from dasheng.pretrained.pretrained import Dasheng
    net = Dasheng(embed_dim=768, depth=12, num_heads=12, target_length=1008, patch_size=[64, 4],
                  patch_stride=[64, 4]).eval()
    bn = net.init_bn[1]
    bn.running_mean.copy_(5 * torch.randn(64) - 20)
    bn.running_var.copy_(100 * torch.rand(64) + 50)
    path = work / "dasheng.pt"
    torch.save({"model": net.state_dict(), "config": {"embed_dim": 768, "depth": 12, "num_heads": 12}}, path)
    net.double()

    def embed(x):
        h = (torch.from_numpy(small.mel_db(x)) - bn.running_mean) / torch.sqrt(bn.running_var + bn.eps)
        return net.forward_spectrogram((h * bn.weight + bn.bias).T[None, None])[0].mean(0)
    return path, embed


def check(name, path, embed, a):
    out = path.with_suffix(".h5")
    subprocess.run([a.embed, "-q", "-f", "--device", "cpu", "--encoder", name, "--weights", path, "--channel", "near",
                    "--pool", "mean", "-o", out, a.data], check=True)
    worst, n = 0.0, 0
    with h5py.File(out) as f:
        clips, got = [s.decode() for s in f["clip"][:]], f["embedding"][:].astype(np.float64)
    files = {str(p.relative_to(p.parents[2])): p for p in Path(a.data).rglob("*.wav")}
    for i in range(0, len(clips), a.every):
        want = embed(near(files[clips[i]])).numpy()
        worst, n = max(worst, np.linalg.norm(got[i] - want) / np.linalg.norm(want)), n + 1
    good = worst <= LIMIT
    print(f"{'ok  ' if good else 'FAIL'} {name}: {path.name}, {len(clips)} clips embedded, {n} compared, "
          f"largest relative difference {worst:.2g}", flush=True)
    return good


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for option in ("beats", "eat", "dasheng", "data", "embed", "work"):
        p.add_argument("--" + option, required=True)
    p.add_argument("--every", type=int, default=1)
    a = p.parse_args()
    small.prepare_imports()
    torch.manual_seed(1)
    work = Path(a.work)
    work.mkdir(parents=True, exist_ok=True)
    good = True
    with torch.no_grad():
        for make, folder in ((beats, a.beats), (eat, a.eat), (sslam, a.eat), (dasheng, a.dasheng)):
            good &= check(make.__name__, *make(folder, work), a)
    sys.exit(not good)


if __name__ == "__main__":
    main()
