// The row-wise ops of a decoder as plain loops in f64; a part of reference.cpp, which includes what this needs.

namespace {

double silu(double x) { return x == -INFINITY ? -0.0 : x / (1 + exp(-x)); }

// One row of what makes as many values as it takes.
wc_status decoder_row(wc_op op, const wc_rowwise_args &g, size_t r, double *y) {
  const float *x = g.x + r * g.ldx;
  const double size = static_cast<double>(g.columns);
  switch (op) {
    case WC_OP_rms_norm: {
      double square = 0;
      for (size_t c = 0; c < g.columns; ++c) square += value_of(g, r, c) * value_of(g, r, c);
      const double rms = sqrt(square / size + g.epsilon);
      for (size_t c = 0; c < g.columns; ++c) y[c] = value_of(g, r, c) / rms * g.weight[c];
      return WC_OK;
    }
    case WC_OP_silu:
      for (size_t c = 0; c < g.columns; ++c) y[c] = silu(x[c]);
      return WC_OK;
    case WC_OP_gelu_tanh:
      for (size_t c = 0; c < g.columns; ++c) {
        const double v = x[c], z = 1.59576912160573071176 * (v + 0.044715 * v * v * v);  // 2·√(2/π)
        y[c] = v == -INFINITY ? -0.0 : v / (1 + exp(-z));
      }
      return WC_OK;
    case WC_OP_softplus:
      for (size_t c = 0; c < g.columns; ++c) {
        const double v = x[c];
        y[c] = v != v ? v : fmax(v, 0) + log1p(exp(-fabs(v)));
      }
      return WC_OK;
    case WC_OP_swiglu:
      for (size_t c = 0; c < g.columns; ++c) y[c] = silu(x[c]) * g.residual[r * g.ldr + c];
      return WC_OK;
    case WC_OP_softmax: {
      double greatest = -INFINITY, sum = 0;
      for (size_t c = 0; c < g.columns; ++c) greatest = fmax(greatest, x[c]);
      for (size_t c = 0; c < g.columns; ++c) sum += y[c] = exp(x[c] - (greatest == -INFINITY ? 0 : greatest));
      for (size_t c = 0; c < g.columns; ++c) y[c] = sum == 0 ? 0 : y[c] / sum;
      return WC_OK;
    }
    case WC_OP_rope:
    case WC_OP_rope_interleaved: {
      const bool interleaved = op == WC_OP_rope_interleaved;
      const size_t angles = static_cast<size_t>(g.ids[0][r]) * g.ld_angles;
      for (size_t c = 0; c < g.columns; ++c) y[c] = x[c];
      for (size_t h = 0; h < g.columns; h += g.head_dim) {
        for (size_t i = 0; i < g.rotary / 2; ++i) {
          const size_t first = h + (interleaved ? 2 * i : i), second = interleaved ? first + 1 : first + g.rotary / 2;
          const double cosine = g.cosines[angles + (interleaved ? 2 * i : i)];
          const double sine = g.sines[angles + (interleaved ? 2 * i + 1 : i)];
          y[first] = x[first] * cosine - x[second] * sine;
          y[second] = x[second] * cosine + x[first] * sine;
        }
      }
      return WC_OK;
    }
    default: return WC_UNSUPPORTED;
  }
}

struct column {
  float value;
  size_t index;
};

int descending(const void *a, const void *b) {
  const column &first = *static_cast<const column *>(a), &second = *static_cast<const column *>(b);
  if (first.value != second.value) return first.value > second.value ? -1 : 1;
  return first.index < second.index ? -1 : 1;
}

// A row's columns, the greatest first; false where it has a NaN.
bool sort_row(const float *x, size_t columns, column *sorted) {
  for (size_t c = 0; c < columns; ++c) {
    if (x[c] != x[c]) return false;
    sorted[c] = {x[c], c};
  }
  qsort(sorted, columns, sizeof *sorted, descending);
  return true;
}

// The shares before and with args->indices[r], see wc_rowwise_reference.
void sampling_row(const wc_rowwise_args &g, size_t r, const column *sorted, double *y) {
  const int32_t answer = g.indices[r * g.ld_indices];
  y[0] = y[1] = -1;
  if (isinf(sorted[0].value)) return;
  if (g.temperature == 0) {
    if (sorted[0].index == static_cast<size_t>(answer)) y[0] = 0, y[1] = 1;
    return;
  }
  const size_t k = g.k && g.k < g.columns ? g.k : g.columns;
  const auto weight = [&](size_t i) {
    const double w = exp((static_cast<double>(sorted[i].value) - sorted[0].value) / static_cast<double>(g.temperature));
    return w < 0x1p-33 ? 0 : w;
  };
  double all = 0, kept = 0, before = 0, own = -1;
  for (size_t i = 0; i < k; ++i) all += weight(i);
  for (size_t i = 0; i < k && (i == 0 || kept < static_cast<double>(g.top_p) * all); ++i) {
    kept += weight(i);
    if (answer >= 0 && sorted[i].index < static_cast<size_t>(answer)) before += weight(i);
    if (answer >= 0 && sorted[i].index == static_cast<size_t>(answer)) own = weight(i);
  }
  if (own <= 0) return;
  y[0] = before / kept;
  y[1] = (before + own) / kept;
}

wc_status selected_rows(wc_op op, const wc_rowwise_args &g, double *y) {
  column *sorted = static_cast<column *>(malloc(sizeof(column) * (g.columns + 1)));
  if (!sorted) return WC_UNSUPPORTED;
  const size_t k = op == WC_OP_top_k ? g.k : 1;
  for (size_t r = 0; r < g.rows; ++r) {
    const bool ordered = sort_row(g.x + r * g.ldx, g.columns, sorted);
    if (op == WC_OP_sampling) {
      y[2 * r] = y[2 * r + 1] = -1;
      if (ordered) sampling_row(g, r, sorted, y + 2 * r);
    } else {
      for (size_t i = 0; i < k; ++i) y[r * k + i] = ordered ? static_cast<double>(sorted[i].index) : -1;
    }
  }
  free(sorted);
  return WC_OK;
}

}  // namespace
