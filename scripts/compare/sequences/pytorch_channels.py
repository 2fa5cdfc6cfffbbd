"""PyTorch's ways where channels do not mix: selective scans, short and long convolutions."""

import os

import numpy as np
import torch
import torch.nn.functional as F

# Tokens whose decays of a selective scan are made at once.
SCAN_BLOCK = 128
COMPILED_TOKENS = 8


def tensor(array):
    return torch.from_numpy(np.ascontiguousarray(array))


class Channels:
    """Of peer_pytorch.Product: each method makes a function that computes its problem, and says how results are arranged."""

    def _mamba1(self, x, compiled=False):
        """The selective scan: decays of a block of tokens at once, then a loop over them."""
        p = self.problem
        y = {name: tensor(value).clone() for name, value in x.items()}
        self.arranged = lambda rows, s: {"y": rows, "state": s}

        def block(s, u, delta, b, c, z):
            step = F.softplus(delta + y["bias"])
            decays, added = torch.exp(step[:, :, None] * y["a"]), (step * u)[:, :, None] * b[:, None]
            states = []
            for t in range(u.shape[0]):
                s = torch.addcmul(added[t], s, decays[t])
                states.append(s)
            rows = torch.stack(states) @ c[:, :, None]
            return torch.addcmul(rows[:, :, 0], u, y["skip"]) * F.silu(z), s

        def fused(s, u, delta, b, c, z):
            """For the compiler, which makes one loop of each token's state and sums."""
            rows = []
            for t in range(u.shape[0]):
                step = F.softplus(delta[t] + y["bias"])
                s = torch.exp(step[:, None] * y["a"]) * s + (step * u[t])[:, None] * b[t]
                rows.append(((s * c[t]).sum(1) + y["skip"] * u[t]) * F.silu(z[t]))
            return torch.stack(rows), s

        tokens = min(p.tokens, COMPILED_TOKENS if compiled else SCAN_BLOCK)
        if p.tokens % tokens:
            raise ValueError(f"{p.tokens} tokens; expected a multiple of {tokens}")
        if compiled:
            _compile_in_cache()
            block = torch.compile(fused, dynamic=False)
        parts = [[y[name][i : i + tokens] for name in ("u", "delta", "b", "c", "z")] for i in range(0, p.tokens, tokens)]

        def run():
            s, rows = y["state"], []
            for part in parts:
                some, s = block(s, *part)
                rows.append(some)
            return (rows[0] if len(rows) == 1 else torch.cat(rows)), s

        return run

    def _conv1d(self, x, onednn=True):
        """By oneDNN, which PyTorch prefers with several threads, or by its own loops."""
        torch.backends.mkldnn.set_flags(onednn)
        weight, bias, state = (tensor(x[name]).clone() for name in ("weight", "bias", "state"))
        inputs, kept, channels = tensor(x["x"].T).clone(), x["state"].shape[1], self.problem.channels
        self.arranged = lambda rows, s: {"y": rows.T, "state": s}

        def run():
            rows = torch.cat([state, inputs], 1)
            return F.silu(F.conv1d(rows[None], weight[:, None], bias, groups=channels)[0]), rows[:, rows.shape[1] - kept :].clone()

        return run

    def _long_conv(self, x):
        """The filters' spectra are made beforehand, as ours are."""
        inputs, tokens = tensor(x["x"].T).clone(), self.problem.tokens
        spectra = torch.fft.rfft(tensor(x["taps"].T), n=2 * tokens)
        skip = tensor(x["skip"])[:, None].clone()
        self.arranged = lambda rows: {"y": rows.T}

        def run():
            rows = torch.fft.irfft(torch.fft.rfft(inputs, n=2 * tokens) * spectra, n=2 * tokens)[:, :tokens]
            return (torch.addcmul(rows, inputs, skip),)

        return run


def _compile_in_cache():
    """Compiled code is kept with the peers, not in /tmp."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", os.path.join(cache, "wallclock/peers/inductor"))
