#!/usr/bin/env python3
"""make_torch_files.py - small checkpoints written by PyTorch itself, as goldens for C.

    python3 tests/golden/make_torch_files.py        (any Python with torch)

Writes beside itself torch_zip.pt and torch_legacy.pt: the same dictionary in both of torch.save's forms, protocol 2.
tests/test_weights.c reads them, and knows the values by these formulas:
  element i of a tensor's storage is i / 8 - 1 (bf16, fp16, fp32 and fp64 hold it exactly), integers i - 3,
  truth values i % 3 == 0.
"""
import collections
import os

import torch

here = os.path.dirname(os.path.abspath(__file__))


def numbers(n, dtype=torch.float32):
    return (torch.arange(n, dtype=torch.float64) / 8 - 1).to(dtype)


def whole(n, dtype):
    return (torch.arange(n) - 3).to(dtype)


shared = numbers(24)
state = collections.OrderedDict()
state["plain"] = numbers(6).reshape(2, 3)
state["parameter"] = torch.nn.Parameter(numbers(4))
state["shared.first"] = shared[:12].reshape(3, 4)  # two views of one storage
state["shared.second"] = shared[12:].reshape(2, 6)
state["transposed"] = numbers(12).reshape(3, 4).t()
state["permuted"] = numbers(24).reshape(2, 3, 4).permute(2, 0, 1)
state["every_other"] = numbers(10)[1::2]
state["double"] = numbers(5, torch.float64)
state["half"] = numbers(5, torch.float16)
state["bfloat"] = numbers(5, torch.bfloat16)
state["long"] = whole(5, torch.int64)
state["int"] = whole(5, torch.int32)
state["short"] = whole(5, torch.int16)
state["char"] = whole(5, torch.int8)
state["byte"] = torch.arange(5, dtype=torch.uint8)
state["bool"] = torch.arange(5) % 3 == 0
state["scalar"] = torch.tensor(0.25)
state["tracked"] = torch.tensor(7)
state["empty"] = torch.zeros(0, 3)
state._metadata = {"": {"version": 1}}
state["_ema"] = {"plain": numbers(6).reshape(2, 3) * 2}
checkpoint = {
    "cfg": {"layers": 12, "dropout": 0.1, "deep_norm": True, "bias": False, "activation": "gelu", "none": None,
            "big": 1 << 70, "negative": -5, "nested": {"list": [1, "two", 3.0], "unicode": "Prüfstand"}},
    "model": state,
    "label_dict": {0: "/m/09x0r", 1: "/m/05zppz"},
    "size": torch.Size([2, 3]),
    "dtype": torch.float32,
    "many": list(range(300)),
}
torch.save(checkpoint, os.path.join(here, "torch_zip.pt"))
torch.save(checkpoint, os.path.join(here, "torch_legacy.pt"), _use_new_zipfile_serialization=False)
print("torch", torch.__version__)
