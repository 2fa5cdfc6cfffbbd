"""PyTorch's ways: its fused attention, and what its operations make of the published definitions.

Recurrences that start from many tokens are in their chunked form: products within chunks of CHUNK tokens for all chunks at once, and a
loop over chunks for the state (arXiv 2312.06635, 2405.21060, 2406.06484). Where tokens are read through the state before
they are written (delta rules, RWKV-7), a triangular system for each chunk says what they write. A single token is the
definition's step, the state changed in place. Layouts are [heads, T, d] and [channels, T], made beforehand.
"""

import torch
import torch.nn.functional as F
from sequences.pytorch_channels import Channels, tensor

CHUNK = 64
# Where channels decay apart, by e^-0.6 a token at most: products with e^-ΣlogΔ must stay in range.
CHANNEL_CHUNK = 32


def heads_first(array):
    """[T, H, …] as [H, T, …]."""
    return tensor(array.swapaxes(0, 1))


class Product(Channels):
    version = torch.__version__

    def __init__(self, variant, problem, operands, copies, threads):
        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        self.problem = problem
        make = {
            "sdpa": self._attention, "sdpa-bf16-in-out": lambda x: self._attention(x, converted=True), "chunked": self._chunked,
            "step": self._step, "eager": self._mamba1, "compiled": lambda x: self._mamba1(x, compiled=True),
            "conv1d": self._conv1d, "conv1d-native": lambda x: self._conv1d(x, onednn=False), "fft": self._long_conv,
        }[variant]  # fmt: skip
        self.work = [make(operands) for _ in range(copies)]
        self.calls, self.products_in_run, self.results = copies, copies, None

    def run(self):
        for work in self.work:
            self.results = work()

    def outputs(self):
        return {name: value.float().numpy() for name, value in self.arranged(*self.results).items()}

    # Attention

    def _attention(self, x, converted=False):
        p, narrow = self.problem, self.problem.format == "bf16"
        # Heads that share keys are rows beside each other: no copy of keys, and any one token sees all of them.
        folded = p.is_decode and p.heads != p.kv_heads
        q = tensor(x["q"].reshape(p.kv_heads, -1, p.head_dim)) if folded else heads_first(x["q"])
        q, k, v = (y[None].clone() for y in (q, heads_first(x["k"]), heads_first(x["v"])))
        self.arranged = lambda o: {"o": o.reshape(1, p.heads, p.head_dim) if folded else o[0].transpose(0, 1)}
        cached = "context" in p.size
        if narrow and converted:
            q = q.bfloat16()
        if narrow and (cached or converted):
            k, v = k.bfloat16(), v.bfloat16()
        options = {"is_causal": p.mask == "causal" and not cached, "scale": x.scale, "enable_gqa": p.heads != p.kv_heads and not folded}
        attend = F.scaled_dot_product_attention
        if not narrow or converted:
            return lambda: (attend(q, k, v, **options),)
        if cached:
            return lambda: (attend(q.bfloat16(), k, v, **options).float(),)
        return lambda: (attend(q.bfloat16(), k.bfloat16(), v.bfloat16(), **options).float(),)

    # Recurrences from many tokens

    def _chunked(self, x):
        op = self.problem.op
        if op in ("gla", "rwkv6"):
            return self._channel_decays(x)
        return self._transitions(x) if op == "rwkv7" or "delta" in op else self._scalar_decays(x)

    def _inputs(self, x, chunk):
        """By name [heads, chunks, chunk, …], the state as it is."""
        p = self.problem
        chunk = min(chunk, p.tokens)
        if p.tokens % chunk:
            raise ValueError(f"{p.tokens} tokens; expected a multiple of the chunk, {chunk}")
        self.arranged = lambda o, s, *z: {
            "o": o.reshape(p.heads, p.tokens, -1).transpose(0, 1), "state": s, **({"z": z[0]} if z else {})
        }  # fmt: skip
        made = {}
        for name in ("q", "k", "v", "decay", "rate", "a", "b"):
            if name in x:
                y = heads_first(x[name] if x[name].ndim == 3 else x[name][:, :, None])
                made[name] = y.reshape(y.shape[0], p.tokens // chunk, chunk, -1).clone()
        for name in ("state", "z", "bonus", "skip", "log_decay"):
            if name in x:
                made[name] = tensor(x[name]).clone()
        return made, chunk

    def _scalar_decays(self, x):
        """linear-attention, retention, mamba2: S = γS + kv, o = qS."""
        op, scale = self.problem.op, x.scale
        y, chunk = self._inputs(x, CHUNK)
        causal = torch.ones(chunk, chunk).tril()
        constant = torch.zeros(1, 1, chunk, 1) if op == "linear-attention" else y.get("log_decay")
        if op == "retention":
            constant = constant[:, None, None, None].expand(-1, 1, chunk, 1)

        def decays(logs):
            sums = logs.cumsum(2)
            return (sums - sums.transpose(2, 3)).masked_fill(causal == 0, -torch.inf).exp(), sums.exp(), (sums[:, :, -1:] - sums).exp()

        given = None if op == "mamba2" else decays(constant)

        def run():
            q, k, v = y["q"], y["k"], y["v"]
            if op == "mamba2":
                within, since, until = decays(y["rate"] * y["log_decay"][:, None, None, None])
                written = v * y["rate"]
            else:
                (within, since, until), written = given, v
            if op == "linear-attention":
                q, k = F.elu(q) + 1, F.elu(k) + 1
            elif scale != 1:
                q = q * scale
            weights = (q @ k.transpose(2, 3)) * within
            o = weights @ written
            added = (k * until).transpose(2, 3) @ written
            states, s, total = [], y["state"], since[:, :, -1:]
            for n in range(v.shape[1]):
                states.append(s)
                s = torch.addcmul(added[:, n], s, total[:, n if total.shape[1] > 1 else 0])
            before = torch.stack(states, 1)
            if op == "linear-attention":
                sums = k.sum(2)
                z = y["z"][:, None] + sums.cumsum(1)
                divisor = weights.sum(3, keepdim=True) + q @ (z - sums)[..., None] + 1e-6
                return (o + q @ before) / divisor, s, z[:, -1]
            o = o + (q * since) @ before
            return (torch.addcmul(o, v, y["skip"][:, None, None, None]) if op == "mamba2" else o), s

        return run

    def _channel_decays(self, x):
        """gla, rwkv6: each row of the state decays apart."""
        scale, bonus = x.scale, self.problem.op == "rwkv6"
        y, chunk = self._inputs(x, CHANNEL_CHUNK)

        def run():
            q, k, v, logs = y["q"], y["k"], y["v"], y["decay"]
            sums = logs.cumsum(2)
            grown = k * (-sums).exp()
            # RWKV-6 reads the state before this token's decay, and itself through the bonus.
            read = q * ((sums - logs).exp() if bonus else sums.exp())
            if scale != 1:
                read = read * scale
            o = (read @ grown.transpose(2, 3)).tril(-1 if bonus else 0) @ v
            if bonus:
                o = o + (q * k * y["bonus"][:, None, None]).sum(3, keepdim=True) * v
            added, states, s = grown.transpose(2, 3) @ v, [], y["state"]
            total = sums[:, :, -1].exp()[..., None]
            for n in range(v.shape[1]):
                states.append(s)
                s = (s + added[:, n]) * total[:, n]
            return o + read @ torch.stack(states, 1), s

        return run

    def _transitions(self, x):
        """delta-net, gated-delta-net, rwkv7: S = diag(w)S + b·(a S) + k v. Of the delta rules a = w·k, b = −βk, and v comes with β."""
        scale, wide = x.scale, self.problem.op == "rwkv7"
        y, chunk = self._inputs(x, CHANNEL_CHUNK if wide else CHUNK)
        one = torch.eye(chunk)

        def run():
            q, k, v = y["q"], y["k"], y["v"]
            sums = y["decay"].cumsum(2) if "decay" in y else None
            since = sums.exp() if sums is not None else 1
            grown = k if sums is None else k * (-sums).exp()
            read = q * since * scale
            weights = (read @ grown.transpose(2, 3)).tril()
            if wide:
                asked, changed = y["a"] * (sums - y["decay"]).exp(), y["b"] * (-sums).exp()
                system = one - (asked @ changed.transpose(2, 3)).tril(-1)
                right = torch.cat([(asked @ grown.transpose(2, 3)).tril(-1) @ v, asked], 3)
                changes = (read @ changed.transpose(2, 3)).tril()
                o, added = weights @ v, grown.transpose(2, 3) @ v
            else:
                asked, changed = k * since * y["rate"], grown
                system = one + (asked @ grown.transpose(2, 3)).tril(-1)
                right = torch.cat([v * y["rate"], -asked], 3)
                changes, o, added = weights, None, None
            solved = torch.linalg.solve_triangular(system, right, upper=False, unitriangular=True)
            own, through = solved.split([v.shape[3], k.shape[3]], 3)
            turned = changed.transpose(2, 3)
            total = since[:, :, -1, :, None] if sums is not None else None
            states, writes, s = [], [], y["state"]
            for n in range(v.shape[1]):
                states.append(s)
                write = torch.baddbmm(own[:, n], through[:, n], s)
                writes.append(write)
                s = torch.baddbmm(s, turned[:, n], write)
                if wide:
                    s = s + added[:, n]
                if total is not None:
                    s = s * total[:, n]
            result = changes @ torch.stack(writes, 1) + read @ torch.stack(states, 1)
            return (result if o is None else result + o), s

        return run

    # One token

    def _step(self, x):
        p, op, scale = self.problem, self.problem.op, x.scale
        y = {name: tensor(value[0] if name in ("q", "k", "v", "a", "b", "decay", "rate") else value).clone() for name, value in x.items()}
        s = y["state"]
        self.arranged = lambda o, s, *z: {"o": o.reshape(1, p.heads, -1), "state": s, **({"z": z[0]} if z else {})}
        column, row = (lambda t: t[:, :, None]), (lambda t: t[:, None])
        per_head = lambda t: t[:, None, None]
        constant = y["log_decay"].exp() if op == "retention" else None

        def run():
            q, k, v = row(y["q"]), column(y["k"]), row(y["v"])
            if scale != 1:
                q = q * scale
            if op == "linear-attention":
                q, k = F.elu(q) + 1, F.elu(k) + 1
                y["z"] += k[:, :, 0]
                s.baddbmm_(k, v)
                return torch.bmm(q, s) / (torch.bmm(q, column(y["z"])) + 1e-6), s, y["z"]
            if op == "rwkv6":
                o = torch.bmm(q, s) + (q * row(y["bonus"]) * row(y["k"])).sum(2, keepdim=True) * v
                s.mul_(column(y["decay"].exp())).baddbmm_(k, v)
                return o, s
            if op == "rwkv7":
                read = torch.bmm(row(y["a"]), s)
                s.mul_(column(y["decay"].exp())).baddbmm_(column(y["b"]), read).baddbmm_(k, v)
            elif op == "mamba2":
                s.mul_(per_head((y["rate"] * y["log_decay"]).exp())).addcmul_(k, v * per_head(y["rate"]))
                return torch.addcmul(torch.matmul(q, s), v, per_head(y["skip"])), s
            elif op == "gla":
                s.mul_(column(y["decay"].exp())).baddbmm_(k, v)
            elif op == "retention":
                s.mul_(per_head(constant)).baddbmm_(k, v)
            else:
                if op == "gated-delta-net":
                    s.mul_(per_head(y["decay"].exp()))
                written = per_head(y["rate"]) * (v - torch.bmm(row(y["k"]), s))
                s.baddbmm_(k, written)
            return torch.bmm(q, s), s

        return run
