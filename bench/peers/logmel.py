#!/usr/bin/env python3
"""Time of the log-mel of one ten-second clip (16 kHz, 1024/512, 128 bands) on one thread, by
librosa and by torch.stft: the peers of the log_mel op. Samples are in memory; no file is read.

One JSON line on stdout for each. Needs torch, numpy, librosa.
"""
import argparse
import datetime
import json
import os
import time

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"

import librosa  # noqa: E402  (the thread count must be known before)
import numpy as np  # noqa: E402
import torch  # noqa: E402

FLOOR = 2.220446049250313e-16


def cpu_name():
    with open("/proc/cpuinfo") as f:
        names = [line.split(":")[1].strip() for line in f if line.startswith("model name")]
    return names[0] if names else "unknown"


def measure(what, repeats, function):
    for _ in range(5):
        function()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        function()
        times.append(1e3 * (time.perf_counter() - begin))
    p20, p50, p80 = np.percentile(times, [20, 50, 80])
    now = datetime.datetime.now().isoformat(timespec="seconds")
    print(json.dumps(dict(peer=what, what="logmel", date=now, cpu=cpu_name(), threads=1,
                          seconds_of_audio=10, librosa=librosa.__version__,
                          torch=torch.__version__, repeats=repeats, ms_p20=p20, ms_median=p50,
                          ms_p80=p80)), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=100)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    x = (np.random.default_rng(1).standard_normal(160000) * 0.1).astype(np.float32)

    def by_librosa():
        mel = librosa.feature.melspectrogram(y=x, sr=16000, n_fft=1024, hop_length=512, n_mels=128)
        return 10.0 * np.log10(np.maximum(mel, FLOOR))

    bank = torch.from_numpy(librosa.filters.mel(sr=16000, n_fft=1024, n_mels=128))
    window = torch.hann_window(1024)
    samples = torch.from_numpy(x)

    def by_torch():
        z = torch.stft(samples, 1024, 512, window=window, pad_mode="constant", return_complex=True)
        return 10.0 * torch.log10((bank @ (z.real.square() + z.imag.square())).clamp_min(FLOOR))

    difference = np.abs(by_librosa() - by_torch().numpy()).max()
    if difference > 1e-2:
        raise SystemExit(f"logmel.py: the two differ by {difference} dB")
    measure("librosa", repeats, by_librosa)
    measure("torch", repeats, by_torch)


main()
