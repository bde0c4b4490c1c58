#!/usr/bin/env python3
"""detect.txt: distances by scikit-learn and NumPy that the detectors on embeddings must give.

    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install numpy scikit-learn
    /tmp/golden/bin/python tests/golden/make_detect.py > tests/golden/detect.txt

Training rows and test rows are float32 (printed exactly); each domain's mean is taken away before
LedoitWolf(assume_centered=True) and before the weighted covariance. For each test row: distance to the
source and target mean by Ledoit-Wolf, by the six largest principal axes of the weighted covariance,
and the mean cosine distance to the three nearest training rows.
"""
import numpy as np
import sklearn
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors

N, M, D, K, WEIGHT = 40, 6, 9, 6, 9.0


def main():
    rng = np.random.default_rng(20260601)
    target = np.arange(N) % 10 == 4
    mix = rng.standard_normal((D, D)) * np.linspace(2, 0.2, D)
    x = (rng.standard_normal((N, D)) @ mix + 3 + 0.5 * target[:, None]).astype(np.float32)
    y = (rng.standard_normal((M, D)) @ mix + 3.2).astype(np.float32)
    X, Y = x.astype(np.float64), y.astype(np.float64)
    means = [X[~target].mean(axis=0), X[target].mean(axis=0)]
    r = X - np.where(target[:, None], means[1], means[0])

    lw = LedoitWolf(assume_centered=True).fit(r)
    inverse = np.linalg.inv(lw.covariance_)
    by_lw = [np.sqrt(np.einsum("ij,jk,ik->i", Y - m, inverse, Y - m)) for m in means]

    w = np.where(target, WEIGHT, 1.0)
    values, vectors = np.linalg.eigh((r * w[:, None]).T @ r / w.sum())
    values, vectors = values[::-1][:K], vectors[:, ::-1][:, :K]
    by_pca = [np.sqrt((((Y - m) @ vectors) ** 2 / values).sum(axis=1)) for m in means]

    near = NearestNeighbors(n_neighbors=3, metric="cosine", algorithm="brute").fit(X)
    by_knn = near.kneighbors(Y)[0].mean(axis=1)

    print(f"# make_detect.py, numpy {np.__version__}, scikit-learn {sklearn.__version__}")
    print(N, M, D, repr(float(lw.shrinkage_)))
    for i in range(N):
        print(int(target[i]), *(repr(float(v)) for v in x[i]))
    for i in range(M):
        print(*(repr(float(v)) for v in y[i]), *(repr(float(v[i])) for v in by_lw + by_pca + [by_knn]))


main()
