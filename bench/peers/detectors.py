#!/usr/bin/env python3
"""Detectors on embeddings in NumPy and SciPy: the peer of `asd-bench detectors`, which writes the
rows, starts this, and compares the scores.

The best form of each: products as matrix products, symmetric eigenpairs by scipy.linalg.eigh of the
wanted ones only and by numpy.linalg.eigh, whichever is faster here, triangular solves for all rows at
once. Everything in float64, as ours. One JSON object on stdout; scores (tests, 2) float64 in
FOLDER/CASE.
"""
import argparse
import json
import os
import statistics
import time

P = argparse.ArgumentParser(description=__doc__.split("\n")[0])
P.add_argument("--folder", required=True)
P.add_argument("--columns", type=int, required=True)
P.add_argument("--case", required=True)
P.add_argument("--seconds", type=float, default=2)
P.add_argument("--threads", type=int, default=1)
ARGS = P.parse_args()
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = str(ARGS.threads)

import numpy as np  # noqa: E402  (the thread count must be known before)
import scipy  # noqa: E402
import scipy.linalg  # noqa: E402


def read(name, dtype):
    return np.fromfile(os.path.join(ARGS.folder, name), dtype=dtype)


X = read("train", np.float32).reshape(-1, ARGS.columns)
Y = read("test", np.float32).reshape(-1, ARGS.columns)
T = read("target", np.uint8) != 0


def top_scipy(c, k):
    values, vectors = scipy.linalg.eigh(c, subset_by_index=(len(c) - k, len(c) - 1),
                                        overwrite_a=True, check_finite=False)
    return values[::-1], vectors[:, ::-1]


def top_numpy(c, k):
    values, vectors = np.linalg.eigh(c)
    return values[::-1][:k], vectors[:, ::-1][:, :k]


def centred():
    x = X.astype(np.float64)
    means = [x[~T].mean(axis=0), x[T].mean(axis=0)]
    return x - np.where(T[:, None], means[1], means[0]), means


def mahalanobis(top, k=128, weight=99.0):
    r, means = centred()
    w = np.where(T, weight, 1.0)
    z = r * np.sqrt(w / w.sum())[:, None]
    values, vectors = top(z.T @ z, min(k, z.shape[1]))
    values = np.maximum(values, 1e-6 * values[0])
    axes = vectors / np.sqrt(values)
    y = Y.astype(np.float64) @ axes
    return np.stack([np.sqrt(((y - m @ axes) ** 2).sum(axis=1)) for m in means], axis=1)


def ledoit_wolf():
    r, means = centred()
    n, p = r.shape
    s = r.T @ r / n
    mu = np.trace(s) / p
    square = (s * s).sum()
    fourth = ((r * r).sum(axis=1) ** 2).mean()
    delta = (square - p * mu * mu) / p
    beta = min((fourth - square) / (n * p), delta)
    rho = beta / delta if delta > 0 else 0.0
    factor = np.linalg.cholesky((1 - rho) * s + rho * mu * np.eye(p))
    y = Y.astype(np.float64)
    return np.stack([np.sqrt((scipy.linalg.solve_triangular(
        factor, (y - m).T, lower=True, check_finite=False) ** 2).sum(axis=0)) for m in means], axis=1)


def knn():
    x, y = X.astype(np.float64), Y.astype(np.float64)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    d = 1 - y @ x.T
    return np.stack([d[:, ~T].min(axis=1), d[:, T].min(axis=1)], axis=1)


CASES = {"mahalanobis": [lambda: mahalanobis(top_scipy), lambda: mahalanobis(top_numpy)],
         "ledoit_wolf": [ledoit_wolf], "knn": [knn]}


def main():
    best = None
    for form, function in enumerate(CASES[ARGS.case]):
        function().tofile(os.path.join(ARGS.folder, ARGS.case))
        times, end = [], time.perf_counter() + ARGS.seconds / len(CASES[ARGS.case])
        while not times or time.perf_counter() < end:
            begin = time.perf_counter()
            function()
            times.append(time.perf_counter() - begin)
        median = statistics.median(times)
        if best is None or median < best["median_s"]:
            best = dict(peer=f"NumPy {np.__version__}, SciPy {scipy.__version__}", form=form,
                        threads=ARGS.threads, n=len(times), median_s=median)
    print(json.dumps(best))


main()
