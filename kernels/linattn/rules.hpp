// The rules of wc_recurrence_args as compile-time policies, and how a chunk's factors lie in memory.
#pragma once

#include <stddef.h>

namespace {

enum class decay { none, per_token, per_channel };

// What all rules have in common with retention; each names its differences.
struct rule {
  static constexpr decay decays = decay::per_token;
  static constexpr bool predicts = false;    // the state is read by a before it is written: u = v − Sᵀa, or Sᵀa
  static constexpr bool second_rank = false; // u is written beside v, by b, not in its place
  static constexpr bool reads_before = false;  // q and a read the state before its decay, q also without this token
  static constexpr bool features = false;    // φ and the normaliser z
  static constexpr bool rates = false;       // k is written rate times
};
struct linear_attention : rule {
  static constexpr decay decays = decay::none;
  static constexpr bool features = true;
};
struct retention : rule {};
struct gla : rule {
  static constexpr decay decays = decay::per_channel;
};
struct rwkv6 : gla {
  static constexpr bool reads_before = true;
};
struct rwkv7 : gla {
  static constexpr bool predicts = true, second_rank = true;
};
struct gated_delta_net : rule {
  static constexpr bool predicts = true, rates = true;
};
struct delta_net : gated_delta_net {
  static constexpr decay decays = decay::none;
};
struct mamba2 : rule {
  static constexpr bool rates = true;
};

constexpr size_t longest_chunk = 8;
// Tokens whose factors are made before any columns of the state are worked on.
constexpr size_t block_tokens = 32;
// Rows of the state whose factors lie side by side, so that they are a constant distance apart.
constexpr size_t block_rows = 64;

constexpr size_t rounded_up(size_t n, size_t step) { return (n + step - 1) / step * step; }

// What C tokens do to a state S, all of whose columns it is the same for. With d the decay of all of them,
//   S after = d ⊙ S + Σ right_s u_sᵀ,   o_t = left_tᵀS + Σ_{s≤t} q_by_u[t][s]·u_s,
// u_s being v_s, or where the rule predicts v_s − p_s, with p_t = left'_tᵀS + Σ_{s<t} a_by_u[t][s]·u_s. With a
// second rank u_s is p_s and the sums go on over right'_s, q_by_v, a_by_v and v_s.
// A block of 64 rows has: left_0 … left_{C−1}, left'_…, right_…, right'_…, d; the sums' factors come last.
template <class R, int C>
struct chunk {
  static constexpr int lefts = R::predicts ? 2 * C : C;
  static constexpr int rights = R::second_rank ? 2 * C : C;
  static constexpr bool has_decay = R::decays != decay::none;
  static constexpr size_t block = (lefts + rights + 1) * block_rows;

  static constexpr size_t blocks(size_t dk) { return (dk + block_rows - 1) / block_rows; }
  static constexpr size_t floats(size_t dk) { return blocks(dk) * block + 4 * C * C; }

  float *at;
  size_t dk;

  float *left(int t, size_t row) const { return within(t, row); }
  float *left_of_a(int t, size_t row) const { return within(C + t, row); }
  float *right(int s, size_t row) const { return within(lefts + s, row); }
  float *right_of_v(int s, size_t row) const { return within(lefts + C + s, row); }
  float *total(size_t row) const { return within(lefts + rights, row); }
  float *q_by_u(int t) const { return sums(0, t); }
  float *a_by_u(int t) const { return sums(1, t); }
  float *q_by_v(int t) const { return sums(2, t); }
  float *a_by_v(int t) const { return sums(3, t); }

 private:
  float *within(int vector, size_t row) const {
    return at + row / block_rows * block + static_cast<size_t>(vector) * block_rows + row % block_rows;
  }
  float *sums(int matrix, int t) const {
    return at + blocks(dk) * block + static_cast<size_t>((matrix * C + t) * C);
  }
};

// One call's scratch, in floats.
struct scratch_plan {
  size_t padded_dk, padded_dv;
  size_t stage, z, state, records, record, end;

  // The largest of all rules and chunks, so that a table row has one size.
  scratch_plan(size_t tokens, size_t dk, size_t dv, size_t width) {
    padded_dk = rounded_up(dk, width);
    padded_dv = rounded_up(dv, width);
    stage = 0;
    z = stage + rounded_up(5 * longest_chunk * padded_dk, 16);
    state = z + rounded_up(padded_dk, 16);
    records = state + rounded_up(dk * (tokens < packed_from ? width : padded_dv), 16);
    // A token's share is the most where chunks are one token, but for the sums, of which it is at the longest.
    const size_t blocks = (dk + block_rows - 1) / block_rows;
    record = blocks * 5 * block_rows + 4 * longest_chunk;
    end = records + (tokens < block_tokens ? tokens : block_tokens) * record;
  }

  // From so many tokens on the state is copied to panels of columns and back: whole rows far apart would fall
  // into few sets of the first cache.
  static constexpr size_t packed_from = 16;
};

}  // namespace
