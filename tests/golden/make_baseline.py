#!/usr/bin/env python3
"""make_baseline.py - the official baseline computed by librosa and PyTorch, as a golden for C.

Writes baseline.json (inputs, scalars, tolerances) and baseline.safetensors (arrays) beside itself;
tests/test_parity.c reads them. Rerun (half a minute):

    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install torch librosa numpy
    /tmp/golden/bin/python tests/golden/make_baseline.py

Everything the C side needs as input is an integer formula, so that no audio and no weights are
stored; everything it must reproduce is computed here in float64 ("truth") and, several times over,
in float32 by other routes (librosa or torch.stft, one or two threads, rows of a batch reversed,
oneDNN or MKL). The largest distance of those from the truth is the error of this mathematics in
that precision; a test may allow twice that, plus the rounding of what it compares.

Parts:
  features  log-mel of the short clips
  train     20 steps of training from the formula's weights in a fixed order at the official rate:
            loss of each, first gradient, parameters and running statistics after them (as norm and
            probe), and the scores of the test clips with the network so trained
  slow      the same 20 steps at a hundredth of the rate (see RATES)
  fixed     a network given outright (no training, so nothing is amplified): covariances of both
            domains by the official batch rule, and every score of the test clips. The official
            score is computed literally, as the mean of all entries of E P E'.

Formulas (all unsigned arithmetic modulo 2^32, >> on negative numbers rounds down):
  lcg(s)      s * 1664525 + 1013904223
  uniform     s = lcg(s);  u = (s >> 8) - 2^23, exact in float32;  u * 2^-23 in [-1, 1)
  weights     of layer i (0-based), seed 1000 + i: first w row by row, then b; each is
              float32(uniform * bound), bound = float32(1 / sqrt(fan_in))
  order       of epoch e: Fisher-Yates from the last index down, s0 = 100 + e,
              s = lcg(s), j = (s >> 8) % (i + 1), swap. Rows are numbered clip by clip.
  clip        see clip_samples
"""
import json
import os
import struct
import warnings

import librosa
import numpy as np
import torch

N_FFT, HOP, MELS, STACK, FLOOR = 1024, 512, 128, 5, 2.220446049250313e-16
WIDTHS = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640]
LAST = len(WIDTHS) - 2
BATCH, STEPS = 256, 20
# The official rate, and a hundredth of it. With the official one Adam's first steps are chaotic on
# any data: a disturbance of 1e-12 in the input grows to 1e-1 in the loss within 12 steps even in
# double precision, so only its first steps can be pinned tightly. The slow run is not chaotic and
# pins all 20 steps of the same mathematics.
RATES = {"train": 1e-3, "slow": 1e-5}
HERE = os.path.dirname(os.path.abspath(__file__))
MASK = 0xFFFFFFFF

# name, role, seed, samples, then the numbers of clip_samples
CLIPS = [
    ("source_0", "source", 11, 64000, 30000000, 90000, 4, 6000, 2500, 9000, 700),
    ("source_1", "source", 12, 64000, 31000000, 91000, 4, 6500, 2400, 9500, 800),
    ("source_2", "source", 13, 64000, 33000000, 99000, 3, 5000, 2600, 9000, 900),
    ("source_3", "source", 14, 64000, 30500000, 70000, 4, 6200, 2100, 8000, 600),
    ("target_0", "target", 15, 64000, 52000000, 160000, 2, 4000, 3500, 7000, 1500),
    ("target_1", "target", 16, 64000, 54000000, 150000, 2, 4400, 3300, 7500, 1300),
    ("test_0", "test", 17, 20011, 30200000, 90500, 4, 6100, 2450, 9100, 720),
    ("test_1", "test", 18, 24000, 47000000, 300000, 3, 3000, 9000, 8000, 3000),
    ("click", "features", 19, 5000, 0, 0, 4, 0, 0, 0, 0),
]


def lcg(s):
    return (s * 1664525 + 1013904223) & MASK


def clip_samples(name, seed, n, step, beat, pole, tone, third, low, white):
    """int16 samples of a make-believe machine: a parabola's sine and its third harmonic, a
    low-passed noise, and a white noise that swells with a sawtooth of its own period. The clip
    named "click" is silence with one full-scale sample at 3000."""
    if name == "click":
        x = np.zeros(n, dtype=np.int16)
        x[3000] = -32768
        return x
    out = np.empty(n, dtype=np.int16)
    s, phase, beat_phase, state = seed, 0, 0, 0
    for i in range(n):
        s = lcg(s)
        noise = (s >> 16) - 32768
        state += ((noise << 8) - state) >> pole
        phase = (phase + step) & MASK
        beat_phase = (beat_phase + beat) & MASK
        t1 = (phase >> 16) - 32768
        t3 = (((3 * phase) & MASK) >> 16) - 32768
        y1 = (t1 * (32768 - abs(t1))) >> 13
        y3 = (t3 * (32768 - abs(t3))) >> 13
        swell = (noise * (beat_phase >> 16)) >> 16
        out[i] = (y1 * tone + y3 * third + (state >> 8) * low + swell * white + noise * 40) >> 15
    return out


def checksum(x):
    """Sum of sample times a weight of its position, modulo 2^32: proves the C samples equal."""
    weights = np.arange(len(x), dtype=np.int64) % 251 + 1
    return int((x.astype(np.int64) * weights).sum()) & MASK


def uniforms(seed, n):
    out = np.empty(n)
    s = seed
    for i in range(n):
        s = lcg(s)
        out[i] = ((s >> 8) - (1 << 23)) * 2.0**-23
    return out, s


def formula_layer(i):
    """float32 weight (n_out, n_in) and bias of layer i."""
    n_in, n_out = WIDTHS[i], WIDTHS[i + 1]
    bound = np.float64(np.float32(1.0 / np.sqrt(np.float64(n_in))))
    u, _ = uniforms(1000 + i, n_out * n_in + n_out)
    values = (u * bound).astype(np.float32)
    return values[:n_out * n_in].reshape(n_out, n_in), values[n_out * n_in:]


def order(epoch, n):
    rows = list(range(n))
    s = 100 + epoch
    for i in range(n - 1, 0, -1):
        s = lcg(s)
        j = (s >> 8) % (i + 1)
        rows[i], rows[j] = rows[j], rows[i]
    return rows


# --- features ---

def log_mel_librosa(x, dtype):
    """(frames, 128) in dB; dtype float64 carries double precision through every stage."""
    y = (x / 32768.0).astype(dtype)
    mel = librosa.feature.melspectrogram(y=y, sr=16000, n_fft=N_FFT, hop_length=HOP, n_mels=MELS,
                                         power=2.0, pad_mode="constant", fmin=0.0, fmax=8000.0,
                                         htk=False, norm="slaney", dtype=dtype)
    assert mel.dtype == dtype
    return (10.0 * np.log10(np.maximum(mel, dtype(FLOOR)))).T.astype(dtype)


def log_mel_torch(x):
    """The same with a Fourier transform in single precision."""
    bank = torch.from_numpy(librosa.filters.mel(sr=16000, n_fft=N_FFT, n_mels=MELS))
    y = torch.from_numpy((x / 32768.0).astype(np.float32))
    z = torch.stft(y, N_FFT, HOP, window=torch.hann_window(N_FFT), center=True,
                   pad_mode="constant", return_complex=True)
    mel = bank @ (z.real.square() + z.imag.square())
    return (10.0 * torch.log10(mel.clamp_min(FLOOR))).T.numpy()


def vectors(frames, dtype):
    """(frames - 4, 640): five consecutive frames side by side, oldest first."""
    count = frames.shape[0] - STACK + 1
    return torch.from_numpy(np.stack([frames[t:t + STACK].reshape(-1) for t in range(count)])
                            ).to(dtype)


# --- network ---

def network(dtype):
    layers = []
    for i in range(LAST + 1):
        linear = torch.nn.Linear(WIDTHS[i], WIDTHS[i + 1], dtype=dtype)
        w, b = formula_layer(i)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(w))
            linear.bias.copy_(torch.from_numpy(b))
        layers.append(linear)
        if i < LAST:
            layers.append(torch.nn.BatchNorm1d(WIDTHS[i + 1], eps=1e-3, momentum=0.01, dtype=dtype))
            layers.append(torch.nn.ReLU())
    return torch.nn.Sequential(*layers)


def norms(net):
    return [m for m in net if isinstance(m, torch.nn.BatchNorm1d)]


def linears(net):
    return [m for m in net if isinstance(m, torch.nn.Linear)]


def epoch_batches(x, first_epoch, reverse):
    """Batches in the fixed order, epoch after epoch, without end; the last of each is shorter."""
    epoch = first_epoch
    while True:
        rows = order(epoch, len(x))
        for k in range(0, len(rows), BATCH):
            picked = rows[k:k + BATCH]
            yield x[picked[::-1] if reverse else picked]
        epoch += 1


def probe(values, seed):
    """Dot product with uniforms of that seed: one number that every entry moves."""
    u, _ = uniforms(seed, values.numel())
    return float((values.double().numpy().ravel() * u).sum())


def named(net):
    """(layer, our name, tensor) of parameters and running statistics. Module 3 i is linear i,
    3 i + 1 its norm."""
    for i in range(LAST + 1):
        yield i, "weight", net[3 * i].weight
        yield i, "bias", net[3 * i].bias
        if i < LAST:
            norm = net[3 * i + 1]
            yield i, "scale", norm.weight
            yield i, "shift", norm.bias
            yield i, "running_mean", norm.running_mean
            yield i, "running_var", norm.running_var


def train(dtype, x, lr, reverse):
    """The network after 20 steps, the loss of each step before its update, and per tensor the
    norm and the probe of the first gradient and of the way it went."""
    net = network(dtype)
    start = {(i, k): v.detach().clone() for i, k, v in named(net)}
    optimiser = torch.optim.Adam(net.parameters(), lr=lr, betas=(0.9, 0.999), eps=1e-8)
    net.train()
    losses, tensors = [], {}
    batches = epoch_batches(x, 0, reverse)
    for step in range(STEPS):
        batch = next(batches)
        optimiser.zero_grad()
        loss = torch.mean((net(batch) - batch) ** 2)
        loss.backward()
        if step == 0:
            for i, k, v in named(net):
                if v.grad is not None:
                    tensors[i, k, "grad_norm"] = v.grad.double().norm().item()
                    tensors[i, k, "grad_probe"] = probe(v.grad, 3000 + i)
        optimiser.step()
        losses.append(loss.item())
    for i, k, v in named(net):
        moved = v.detach() - start[i, k]
        tensors[i, k, "moved_norm"] = moved.double().norm().item()
        tensors[i, k, "moved_probe"] = probe(moved, 3000 + i)
    return net.eval(), losses, tensors


def residual_rows(net, x):
    with torch.no_grad():
        return (x - net(x)).reshape(-1, MELS)


def covariances(net, x, domain):
    """The official rule: per batch and domain, centre by that batch's own mean row; divide by the
    number of 640-vectors less one. domain: 0 source, 1 target, per vector."""
    total = [torch.zeros(MELS, MELS, dtype=x.dtype) for _ in range(2)]
    count = [0, 0]
    rows = order(50, len(x))
    for k in range(0, len(rows), BATCH):
        picked = torch.tensor(rows[k:k + BATCH])
        for d in range(2):
            mine = picked[domain[picked] == d]
            if len(mine) == 0:
                continue
            e = residual_rows(net, x[mine])
            e = e - e.mean(0)
            total[d] += e.T @ e
            count[d] += len(mine)
    return [total[d] / (count[d] - 1) for d in range(2)]


def scores(net, x, precisions):
    """Every score of one clip, as {name: number}."""
    e = residual_rows(net, x)
    out = {"mse": torch.mean(e ** 2).item()}
    mean = e.mean(0)
    for name, p in zip(("source", "target"), precisions):
        literal = torch.mean((e @ p) @ e.T).item()        # mean of all entries of E P E'
        short = (mean @ p @ mean).item()
        if x.dtype == torch.float64:
            assert abs(literal - short) <= 1e-9 * abs(short), (literal, short)
        out["official_" + name] = literal
        out["framewise_" + name] = torch.mean(((e @ p) * e).sum(1)).item()
    for kind in ("official", "framewise"):
        out[kind] = min(out[kind + "_source"], out[kind + "_target"])
    return out


def fixed_network(dtype, statistics=None):
    """The given network: the formula's weights with the last layer's weights 16 times as large
    and its bias 30 lower, batch normalisation by formula (seed 2000 + layer: scale = 1 + u / 4 for
    every unit, then shift = u / 4) and with these running statistics."""
    net = network(dtype)
    with torch.no_grad():
        linears(net)[-1].weight *= 16
        linears(net)[-1].bias -= 30
        for i, bn in enumerate(norms(net)):
            u, _ = uniforms(2000 + i, 2 * bn.num_features)
            v = u.astype(np.float32) / np.float32(4)
            bn.weight.copy_(torch.from_numpy(np.float32(1) + v[:bn.num_features]))
            bn.bias.copy_(torch.from_numpy(v[bn.num_features:]))
            if statistics:
                bn.running_mean.copy_(torch.from_numpy(statistics[i][0]))
                bn.running_var.copy_(torch.from_numpy(statistics[i][1]))
    return net.eval()


def fixed_statistics(x):
    """Mean and variance of what enters each norm of the given network, over all rows x in double
    precision, rounded to single: an input of the test, the same in every route."""
    net, h, out = fixed_network(torch.float64), x, []
    with torch.no_grad():
        for m in net:
            if isinstance(m, torch.nn.BatchNorm1d):
                out.append((h.mean(0).numpy().astype(np.float32),
                            h.var(0, unbiased=True).numpy().astype(np.float32)))
                m.running_mean.copy_(torch.from_numpy(out[-1][0]))
                m.running_var.copy_(torch.from_numpy(out[-1][1]))
            h = m(h)
    return out


def rows_of(features, dtype):
    """All training vectors, source clips first, and the domain of each."""
    x, domain = [], []
    for d, role in enumerate(("source", "target")):
        for clip in CLIPS:
            if clip[1] == role:
                x.append(vectors(features[clip[0]], dtype))
                domain += [d] * len(x[-1])
    return torch.cat(x), torch.tensor(domain)


def run(features, dtype, statistics, reverse=False):
    """All results of one route. features: name -> (frames, 128)."""
    x, domain = rows_of(features, dtype)
    test = {c[0]: vectors(features[c[0]], dtype) for c in CLIPS if c[1] == "test"}
    net = network(dtype).eval()
    with torch.no_grad():
        out = {"initial_eval_loss": torch.mean((net(x) - x) ** 2).item()}
    for part, lr in RATES.items():
        net, losses, tensors = train(dtype, x, lr, reverse)
        out[part] = {"net": net, "losses": losses, "tensors": tensors}
    net = fixed_network(dtype, statistics)
    with torch.no_grad():
        out["fixed"] = {"net": net, "loss": torch.mean((net(x) - x) ** 2).item()}
    for part in ("train", "fixed"):
        cov = covariances(out[part]["net"], x, domain)
        precisions = [torch.linalg.inv(c) for c in cov]
        out[part]["cov"] = [c.double().numpy() for c in cov]
        out[part]["scores"] = {n: scores(out[part]["net"], v, precisions) for n, v in test.items()}
    return out


def write_safetensors(path, tensors):
    """{name: array}, in name order, by hand: 8-byte length, JSON header, data."""
    header, blobs, at = {}, [], 0
    for name in sorted(tensors):
        a = np.ascontiguousarray(tensors[name], dtype=np.float32)
        header[name] = {"dtype": "F32", "shape": list(a.shape),
                        "data_offsets": [at, at + a.nbytes]}
        blobs.append(a.tobytes())
        at += a.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def worst(truth, others):
    """Largest distance of the float32 routes from the truth."""
    return max(float(np.max(np.abs(np.asarray(o, dtype=np.float64) - truth))) for o in others)


def scalar(truth, others):
    return {"value": truth, "fp32_error": worst(truth, others)}


def part_of_training(part, truth, others):
    """Losses and tensors of one training run, each with its error."""
    layers = [{} for _ in range(LAST + 1)]
    for (i, name, what), value in truth[part]["tensors"].items():
        layers[i].setdefault(name, {})[what] = scalar(
            value, [o[part]["tensors"][i, name, what] for o in others])
    return {"lr": RATES[part], "batch": BATCH, "steps": STEPS, "layers": layers,
            "losses": [scalar(v, [o[part]["losses"][k] for o in others])
                       for k, v in enumerate(truth[part]["losses"])]}


def part_of_scoring(part, truth, others):
    """Covariances and scores with one network, each with its error."""
    out = {"scores": {clip: {k: scalar(v, [o[part]["scores"][clip][k] for o in others])
                             for k, v in values.items()}
                      for clip, values in truth[part]["scores"].items()}}
    for d, name in enumerate(("source", "target")):
        c = truth[part]["cov"][d]
        out["cov_" + name] = {"fp32_error": worst(c, [o[part]["cov"][d] for o in others]),
                              "largest": float(np.abs(c).max()), "trace": float(np.trace(c)),
                              "condition": float(np.linalg.cond(c))}
    return out


def main():
    warnings.filterwarnings("ignore")
    torch.set_num_threads(2)
    samples = {c[0]: clip_samples(c[0], c[2], *c[3:]) for c in CLIPS}
    features = {n: log_mel_librosa(x, np.float64) for n, x in samples.items()}
    by_librosa = {n: log_mel_librosa(x, np.float32) for n, x in samples.items()}
    by_torch = {n: log_mel_torch(x) for n, x in samples.items()}

    x, domain = rows_of(features, torch.float64)
    statistics = fixed_statistics(x)
    truth = run(features, torch.float64, statistics)
    others = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for route in (by_librosa, by_torch):
            for reverse in (False, True):
                for onednn in (False, True):
                    with torch.backends.mkldnn.flags(enabled=onednn):
                        others.append(run(route, torch.float32, statistics, reverse))

    golden = {
        "about": "made by make_baseline.py; see there",
        "versions": {"torch": torch.__version__.split("+")[0], "librosa": librosa.__version__,
                     "numpy": np.__version__},
        "clips": [dict(zip(("name", "role", "seed", "samples", "step", "beat", "pole", "tone",
                            "third", "low", "white"), c), checksum=checksum(samples[c[0]]))
                  for c in CLIPS],
        "rows": len(x), "rows_target": int(domain.sum()),
        "features": {n: {"fp32_error": worst(features[n], [by_librosa[n], by_torch[n]]),
                         "mean": float(features[n].mean())} for n in samples},
        "initial_eval_loss": scalar(truth["initial_eval_loss"],
                                    [o["initial_eval_loss"] for o in others]),
        "train": {**part_of_training("train", truth, others),
                  **part_of_scoring("train", truth, others)},
        "slow": part_of_training("slow", truth, others),
        "fixed": {"loss": scalar(truth["fixed"]["loss"], [o["fixed"]["loss"] for o in others]),
                  **part_of_scoring("fixed", truth, others)},
    }
    arrays = {f"features.{c[0]}": features[c[0]] for c in CLIPS if c[1] in ("test", "features")}
    for i, (mean, var) in enumerate(statistics):
        arrays[f"fixed.{i}.running_mean"] = mean
        arrays[f"fixed.{i}.running_var"] = var
    for d, name in enumerate(("source", "target")):
        arrays["fixed.cov_" + name] = truth["fixed"]["cov"][d][np.triu_indices(MELS)]
    write_safetensors(os.path.join(HERE, "baseline.safetensors"), arrays)
    with open(os.path.join(HERE, "baseline.json"), "w") as f:
        json.dump(golden, f, indent=1)
        f.write("\n")


main()
