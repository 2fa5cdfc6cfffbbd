// The filter that a diagonal state space is, for its convolution: K[l] = Σ_n Re(C_n·λ_n^l), in f64.
#include <math.h>

#include "CWallclockKernels.h"

namespace {

constexpr size_t panel = WC_CHANNEL_PANEL;
constexpr size_t block = WC_S4D_FILTER_BLOCK;

// Of one λ: the logarithm of its modulus, its argument, and its powers 0 … block − 1.
struct powers {
  double modulus, argument, real[block], imaginary[block];
  void make(double r, double i) {
    const double size = hypot(r, i);
    // Of 0 one small enough that every power but the first is 0.
    modulus = size > 0 ? log(size) : -1e4;
    argument = atan2(i, r);
    for (size_t l = 0; l < block; ++l) {
      const double of = exp(static_cast<double>(l) * modulus), turn = static_cast<double>(l) * argument;
      real[l] = of * cos(turn), imaginary[l] = of * sin(turn);
    }
  }
};
static_assert(sizeof(powers) == WC_S4D_FILTER_SCRATCH * sizeof(double), "the header says what scratch a pair takes");

}  // namespace

extern "C" wc_status wc_s4d_filter(
    size_t length, size_t channels, size_t pairs, const float *lambda, const float *c, float *filter, size_t ld_filter,
    void *scratch) {
  powers *of = static_cast<powers *>(scratch);
  for (size_t channel = 0; channel < channels; ++channel) {
    const size_t place = channel / panel * 2 * pairs * panel + channel % panel;
    for (size_t n = 0; n < pairs; ++n) of[n].make(lambda[place + 2 * n * panel], lambda[place + (2 * n + 1) * panel]);
    for (size_t first = 0; first < length; first += block) {
      double sum[block] = {};
      for (size_t n = 0; n < pairs; ++n) {
        const size_t at = place + 2 * n * panel;
        // The phase of a block's first tap is made anew, so that none is the product of many roundings.
        const double size = exp(static_cast<double>(first) * of[n].modulus);
        const double turn = static_cast<double>(first) * of[n].argument;
        const double cr = c[at], ci = -static_cast<double>(c[at + panel]);
        const double r = size * (cr * cos(turn) - ci * sin(turn)), i = size * (cr * sin(turn) + ci * cos(turn));
        for (size_t l = 0; l < block; ++l) sum[l] += r * of[n].real[l] - i * of[n].imaginary[l];
      }
      const size_t count = length - first < block ? length - first : block;
      for (size_t l = 0; l < count; ++l) filter[(first + l) * ld_filter + channel] = static_cast<float>(sum[l]);
    }
  }
  return WC_OK;
}
