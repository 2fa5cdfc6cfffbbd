// One kernel of the table with its memory: the name, the products, the ISA whose `transposer` appends, what the cache
// stores, mr and the vectors of nr. Include inside the target region, after attention.hpp and append.hpp.
#define WC_ATTENTION_KERNEL(name, products, transposes, stores, rows, vectors)                                     \
  namespace wc {                                                                                                   \
  extern const wc_attention_memory name##_memory;                                                                  \
  const wc_attention_memory name##_memory = {                                                                      \
      attention_cache_bytes<stored_##stores, attention<products, rows, vectors>::nr>,                              \
      attention_append<                                                                                            \
          stored_##stores, attention<products, rows, vectors>::nr, transposer_##transposes>,                       \
      attention_scratch_bytes<products, rows, attention<products, rows, vectors>::nr>,                             \
      attention_merge<products::lanes>};                                                                           \
  }                                                                                                                \
  extern "C" wc_status name(const wc_attention_args *g) { return attention<products, rows, vectors>::run(*g); }

#define WC_COMMA ,
#define WC_ATTENTION_ENTRY(name, isa, transposes, stores, rows, vectors)                                           \
  WC_ATTENTION_KERNEL(                                                                                             \
      name, lane_products<wc::attention_lanes_##isa WC_COMMA stored_##stores>, transposes, stores, rows, vectors)
