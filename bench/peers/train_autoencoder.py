#!/usr/bin/env python3
"""The baseline autoencoder trained by PyTorch, on the CPU or on a GPU: the peer of asd-train.

The same work as asd-train on recipes/dcase-baseline.yaml: log-mel of every training clip of one
machine, 640-vectors of five frames, 640-128x4-8-128x4-640 with batch normalisation, mean squared
error, Adam, batches of 256 in a new random order each epoch, 10 % of the vectors held out and
their loss computed after each epoch.

Forms of the training loop, --form:
  eager       features of all clips in memory, the batch gathered by index_select, fused Adam
  compile     the same loop around torch.compile (forward and backward compiled; on a GPU in its
              mode reduce-overhead, which replays CUDA graphs)
  dataloader  the way of the official code: all 640-vectors written out, a DataLoader collating
              them one by one, default Adam
Forms of reading the audio, --features: torch (torch.stft on each clip) or librosa.

One JSON line on stdout for each measurement. Needs torch, numpy, soundfile, librosa:
    python3 -m venv /tmp/peers && /tmp/peers/bin/pip install torch numpy soundfile librosa
    /tmp/peers/bin/python train_autoencoder.py --data DIR/dev_data/raw/fan --epochs 2 --threads 2
"""
import argparse
import datetime
import glob
import json
import os
import statistics
import sys
import time

N_FFT, HOP, MELS, STACK, FLOOR = 1024, 512, 128, 5, 2.220446049250313e-16
WIDTHS = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640]


def options():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--data", help="machine folder with train/*.wav; without it, random features")
    p.add_argument("--clips", type=int, default=1000, help="clips to use (default 1000)")
    p.add_argument("--frames", type=int, default=313, help="frames a clip without --data")
    p.add_argument("--epochs", type=int, default=2)
    p.add_argument("--batch", type=int, default=256)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--val-fraction", type=float, default=0.1)
    p.add_argument("--form", choices=["eager", "compile", "dataloader"], default="eager")
    p.add_argument("--features", choices=["torch", "librosa"], default="torch")
    p.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N; features, rows and order "
                                                   "of an epoch lie there (default cpu)")
    p.add_argument("--max-steps", type=int, default=0, help="stop an epoch early; 0 = whole epochs")
    return p.parse_args()


ARGS = options()
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = str(ARGS.threads)

import numpy as np  # noqa: E402  (the thread count must be known before)
import torch  # noqa: E402

torch.set_num_threads(ARGS.threads)
DEVICE = torch.device(ARGS.device)
if DEVICE.type == "cuda" and not torch.cuda.is_available():
    sys.exit("train_autoencoder.py: --device cuda: torch sees no CUDA device")


def cpu_name():
    with open("/proc/cpuinfo") as f:
        names = [line.split(":")[1].strip() for line in f if line.startswith("model name")]
    return names[0] if names else "unknown"


def emit(**fields):
    head = dict(peer="pytorch", date=datetime.datetime.now().isoformat(timespec="seconds"),
                cpu=cpu_name(), cores=os.cpu_count(), threads=torch.get_num_threads(),
                torch=torch.__version__, form=ARGS.form, device=ARGS.device,
                gpu=torch.cuda.get_device_name(DEVICE) if DEVICE.type == "cuda" else None)
    print(json.dumps({**head, **fields}), flush=True)


def network():
    layers = []
    for i, (n_in, n_out) in enumerate(zip(WIDTHS[:-1], WIDTHS[1:])):
        layers.append(torch.nn.Linear(n_in, n_out))
        if i < len(WIDTHS) - 2:
            layers += [torch.nn.BatchNorm1d(n_out, eps=1e-3, momentum=0.01), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers).to(DEVICE)


def now():
    """The time when what was started is done."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize(DEVICE)
    return time.perf_counter()


def log_mel_torch(paths):
    """(sum of frames, 128) of all clips, and the number of frames of each."""
    import librosa
    import soundfile
    bank = torch.from_numpy(librosa.filters.mel(sr=16000, n_fft=N_FFT, n_mels=MELS)).to(DEVICE)
    window = torch.hann_window(N_FFT, device=DEVICE)
    rows, frames = [], []
    for path in paths:
        x, _ = soundfile.read(path, dtype="float32", always_2d=True)
        z = torch.stft(torch.from_numpy(x[:, 0].copy()).to(DEVICE), N_FFT, HOP, window=window, center=True,
                       pad_mode="constant", return_complex=True)
        power = z.real.square() + z.imag.square()
        rows.append(10.0 * torch.log10((bank @ power).clamp_min(FLOOR)).T)
        frames.append(rows[-1].shape[0])
    return torch.cat(rows).contiguous(), frames


def log_mel_librosa(paths):
    import librosa
    rows, frames = [], []
    for path in paths:
        x, rate = librosa.load(path, sr=None, mono=False)
        mel = librosa.feature.melspectrogram(y=x[0] if x.ndim > 1 else x, sr=rate, n_fft=N_FFT,
                                             hop_length=HOP, n_mels=MELS, power=2.0)
        rows.append((10.0 * np.log10(np.maximum(mel, FLOOR))).T.astype(np.float32))
        frames.append(rows[-1].shape[0])
    return torch.from_numpy(np.concatenate(rows)), frames


def starts_of(frames):
    """First frame, in the concatenated features, of every 640-vector."""
    first = np.cumsum([0] + frames[:-1])
    return torch.from_numpy(np.concatenate(
        [f + np.arange(t - STACK + 1) for f, t in zip(first, frames)]))


def in_memory(features, starts, train, val):
    """Epochs of the competent form. Yields (seconds, steps, step seconds, losses) an epoch."""
    net = network()
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    offsets = torch.arange(STACK, device=DEVICE)

    def vectors(picked):
        rows = (starts[picked].unsqueeze(1) + offsets).view(-1)
        return features.index_select(0, rows).view(-1, STACK * MELS)

    def loss_of(x):
        return torch.nn.functional.mse_loss(net(x), x)

    mode = "reduce-overhead" if DEVICE.type == "cuda" else None
    forward = torch.compile(loss_of, mode=mode) if ARGS.form == "compile" else loss_of
    if ARGS.form == "compile":  # compile outside the clock, for both sizes of batch and both modes
        for mode in (True, False):
            net.train(mode)
            for n in {ARGS.batch, len(train) % ARGS.batch, len(val) % ARGS.batch} - {0, 1}:
                with torch.set_grad_enabled(mode):
                    loss = forward(vectors(train[:n]))
                if mode:
                    loss.backward()
                    net.zero_grad()
    while True:
        net.train()
        total, steps, times = torch.zeros((), device=DEVICE), 0, []
        begin = last = now()
        for picked in train[torch.randperm(len(train), device=DEVICE)].split(ARGS.batch):
            if len(picked) == 1:
                continue
            loss = forward(vectors(picked))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.detach()
            steps += 1
            if DEVICE.type == "cpu":  # on a GPU looking at the clock would mean waiting
                times.append(time.perf_counter() - last)
                last = time.perf_counter()
            if steps == ARGS.max_steps:
                break
        net.eval()
        with torch.no_grad():
            losses = [forward(vectors(picked)) for picked in val.split(ARGS.batch)
                      if len(picked) > 1] if not ARGS.max_steps else [torch.zeros(())]
        held_out = torch.stack(losses).mean().item()
        seconds = now() - begin
        yield seconds, steps, times or [seconds / steps] * steps, (total.item() / steps, held_out)


def loss_on_device(net, x):
    x = x.to(DEVICE)
    return torch.nn.functional.mse_loss(net(x), x).item()


def data_loader(features, starts, train, val):
    """Epochs of the official form: vectors in memory, one item at a time through a DataLoader."""
    features, starts = features.cpu(), starts.cpu()  # the official form keeps them on the host
    windows = features.as_strided((features.shape[0] - STACK + 1, STACK * MELS), (MELS, 1))
    every = windows.index_select(0, starts)
    data = torch.utils.data.TensorDataset(every)
    loaders = [torch.utils.data.DataLoader(torch.utils.data.Subset(data, part.tolist()),
                                           batch_size=ARGS.batch, shuffle=shuffle)
               for part, shuffle in ((train, True), (val, False))]
    net = network()
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    while True:
        net.train()
        total, steps, times = 0.0, 0, []
        begin = last = time.perf_counter()
        for (x,) in loaders[0]:
            if len(x) == 1:
                continue
            x = x.to(DEVICE)
            optimiser.zero_grad()
            loss = torch.nn.functional.mse_loss(net(x), x)
            loss.backward()
            optimiser.step()
            total += loss.item()
            steps += 1
            now = time.perf_counter()
            times.append(now - last)
            last = now
            if steps == ARGS.max_steps:
                break
        net.eval()
        held_out = 0.0
        if not ARGS.max_steps:
            with torch.no_grad():
                held_out = statistics.mean(loss_on_device(net, x)
                                           for (x,) in loaders[1] if len(x) > 1)
        yield time.perf_counter() - begin, steps, times, (total / steps, held_out)


def main():
    torch.manual_seed(13711)
    seconds_features = 0.0
    if ARGS.data:
        paths = sorted(glob.glob(os.path.join(ARGS.data, "train", "*.wav")))[:ARGS.clips]
        if not paths:
            sys.exit(f"train_autoencoder.py: no train/*.wav in {ARGS.data}")
        begin = now()
        features, frames = (log_mel_torch if ARGS.features == "torch" else log_mel_librosa)(paths)
        features = features.to(DEVICE)
        seconds_features = now() - begin
        emit(what="features", features=ARGS.features, clips=len(paths), seconds=seconds_features,
             ms_per_clip=1e3 * seconds_features / len(paths))
    else:
        frames = [ARGS.frames] * ARGS.clips
        features = torch.randn(sum(frames), MELS, device=DEVICE) * 10 - 40
    starts = starts_of(frames).to(DEVICE)
    shuffled = torch.randperm(len(starts), device=DEVICE)
    n_val = int(round(ARGS.val_fraction * len(starts)))
    val, train = shuffled[:n_val], shuffled[n_val:]

    epochs = (data_loader if ARGS.form == "dataloader" else in_memory)(features, starts, train, val)
    seconds_train, step_ms, losses = 0.0, [], []
    for _ in range(ARGS.epochs):
        seconds, steps, times, loss = next(epochs)
        seconds_train += seconds
        step_ms += [1e3 * t for t in times]
        losses.append(loss)
    quantiles = np.percentile(step_ms, [20, 50, 80])
    result = dict(what="train", clips=len(frames), vectors=len(starts), batch=ARGS.batch,
                  epochs=ARGS.epochs, steps=len(step_ms), seconds=seconds_train,
                  step_ms_p20=quantiles[0], step_ms_median=quantiles[1], step_ms_p80=quantiles[2],
                  loss=[a for a, _ in losses], val_loss=[b for _, b in losses])
    if not ARGS.max_steps:
        result["clips_per_s"] = len(frames) * ARGS.epochs / seconds_train
        result["clips_per_s_with_features"] = (
            len(frames) * ARGS.epochs / (seconds_train + seconds_features))
    emit(**result)


main()
