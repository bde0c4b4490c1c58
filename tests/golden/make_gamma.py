"""Makes gamma.txt: reference values of special functions and gamma fits, by SciPy.

    /usr/bin/python3 tests/golden/make_gamma.py > tests/golden/gamma.txt     (python3-scipy)

Lines: `digamma x value`, `trigamma x value`, `gamma_p a x value`, `gamma_inv a q value`, `normal_inv p value`,
`student_inv p dof value`, and per sample `fit kind n shape loc scale q90`, followed by its n scores, one a line.
Samples are seeded; the three-parameter fit starts as scipy.stats.gamma.fit does, but its simplex search is run on to
1e-13, because its default tolerance of 1e-4 stops at the third digit.
"""
import numpy as np
import scipy
from scipy import optimize, special, stats

print(f"# made by tests/golden/make_gamma.py with SciPy {scipy.__version__}")


def show(*items):
    print(*[x if isinstance(x, (str, int)) else repr(float(x)) for x in items])


for x in [1e-3, 0.1, 0.5, 1.0, 2.5, 7.25, 11.99, 12.0, 40.0, 1e3, 1e6]:
    show("digamma", x, special.digamma(x))
    show("trigamma", x, special.polygamma(1, x))
for a in [0.05, 0.5, 1.0, 3.3, 9.9, 10.0, 57.0, 1e3, 1e5, 1e6]:
    for z in [-3.0, -1.0, -0.05, 0.0, 0.4, 1.3, 4.0]:
        x = a + z * np.sqrt(a)
        if x > 0:
            show("gamma_p", a, x, special.gammainc(a, x))
    for q in [1e-4, 0.1, 0.5, 0.9, 0.95, 0.9999]:
        show("gamma_inv", a, q, special.gammaincinv(a, q))
for p in [1e-12, 1e-4, 0.025, 0.1, 0.3, 0.4999, 0.5, 0.6, 0.975, 0.9999]:
    show("normal_inv", p, stats.norm.ppf(p))
for p, dof in [(0.975, 1), (0.975, 2.5), (0.9, 7), (0.975, 199), (0.975, 1399), (0.975, 4199), (0.1, 30), (0.6, 1e4)]:
    # stats.t.ppf itself is good for 9 digits only: solve its distribution function
    t = optimize.brentq(lambda t: special.stdtr(dof, t) - p, -50, 50, xtol=1e-14, rtol=1e-14)
    show("student_inv", p, float(dof), t)


def tight(func, x0, args=(), disp=0):
    for _ in range(5):
        x0 = optimize.fmin(func, x0, args=args, disp=disp, xtol=1e-13, ftol=1e-13, maxiter=20000, maxfun=20000)
    return x0


rng = np.random.default_rng(20260401)
samples = [
    ("free", np.float32(rng.gamma(4.0, 0.7, 200) + 9.5)),     # clip errors of an autoencoder in dB
    ("free", np.float32(rng.gamma(2.0, 0.004, 300) + 0.08)),  # cosine distances
    ("free", np.float32(rng.gamma(60.0, 1.5, 150) - 100.0)),  # nearly normal, negative scores
    ("free", np.float32(rng.lognormal(2.0, 0.4, 250))),       # not a gamma at all
    ("loc0", np.float32(rng.gamma(3.0, 2.0, 200))),
    ("loc0", np.float32(rng.gamma(0.6, 1e-3, 150))),
    ("loc0", np.float32(rng.gamma(900.0, 0.01, 120))),
]
for kind, s in samples:
    s = s.astype(np.float64)
    if kind == "free":
        shape, loc, scale = stats.gamma.fit(s, optimizer=tight)
        rough = stats.gamma.ppf(0.9, *stats.gamma.fit(s))
    else:
        shape, loc, scale = stats.gamma.fit(s, floc=0)
        rough = stats.gamma.ppf(0.9, shape, 0, scale)
    show("fit", kind, len(s), shape, loc, scale, stats.gamma.ppf(0.9, shape, loc, scale), rough)
    for v in s:
        show(np.float32(v).item())
