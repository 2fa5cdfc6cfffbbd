/// One of libpfm4's events, and how much of our event one count of it is.
package struct NativeEvent: Hashable, Sendable {
  package var name: String
  package var weight: Double
}

/// Which of libpfm4's events stand for ours, PMU by PMU.
///
/// Names as in libpfm4's tables (lib/events of the library; `showevtinfo` lists them). A PMU that
/// lacks an event has no entry for it, and the event is reported unavailable there.
package enum CounterEvents {
  /// Every hardware event a group may name.
  package static let hardware = [
    "cycles", "instructions", "l1-misses", "l2-misses", "dram-fills", "dtlb-walks", "branch-misses",
    "flops-f32", "int8-operations", "frontend-stalls", "backend-stalls",
  ]

  /// Software events by their name in libpfm4's `perf` table, which is the kernel's ABI.
  package static let software = [
    "task-clock": "perf::TASK-CLOCK",
    "context-switches": "perf::CONTEXT-SWITCHES",
    "cpu-migrations": "perf::CPU-MIGRATIONS",
    "page-faults": "perf::PAGE-FAULTS",
    "minor-faults": "perf::MINOR-FAULTS",
    "major-faults": "perf::MAJOR-FAULTS",
  ]

  /// PMUs with a table of their own. Anything else counts what the kernel's generic events offer.
  package static let knownPMUs: [String] = tables.keys.sorted()

  /// The native events whose weighted sum is `event`; nil when this PMU has none.
  package static func native(_ event: String, pmu: String?) -> [NativeEvent]? {
    if let name = software[event] { return [NativeEvent(name: name, weight: 1)] }
    if let pmu, let table = tables[pmu] {
      return table[event].map { list in
        list.map { NativeEvent(name: "\(pmu)::\($0.0)", weight: $0.1) }
      }
    }
    return generic[event].map { [NativeEvent(name: "perf::\($0)", weight: 1)] }
  }

  private typealias Table = [String: [(String, Double)]]

  /// The kernel's generic hardware events (perf_event_open(2)), for cores libpfm4 does not know.
  private static let generic = [
    "cycles": "CYCLES", "instructions": "INSTRUCTIONS", "branch-misses": "BRANCH-MISSES",
    "dram-fills": "CACHE-MISSES", "l1-misses": "PERF_COUNT_HW_CACHE_L1D:READ:MISS",
    "dtlb-walks": "PERF_COUNT_HW_CACHE_DTLB:READ:MISS",
    "frontend-stalls": "STALLED-CYCLES-FRONTEND", "backend-stalls": "STALLED-CYCLES-BACKEND",
  ]

  private static let tables: [String: Table] = {
    var tables: [String: Table] = [:]
    for pmu in ["skl", "skx", "clx", "icl", "icx", "spr", "emr"] { tables[pmu] = intel }
    for pmu in ["spr", "emr"] {
      tables[pmu]!["int8-operations"] = [("INT_VEC_RETIRED:VNNI_128", 1), ("INT_VEC_RETIRED:VNNI_256", 1)]
    }
    tables["amd64_fam17h_zen2"] = amd.merging([
      "l1-misses": [
        ("DATA_CACHE_REFILLS_FROM_SYSTEM:MABRESP_LCL_L2:LS_MABRESP_LCL_CACHE:LS_MABRESP_LCL_DRAM"
          + ":LS_MABRESP_RMT_CACHE:LS_MABRESP_RMT_DRAM", 1)
      ],
      "dram-fills": [("DATA_CACHE_REFILLS_FROM_SYSTEM:LS_MABRESP_LCL_DRAM:LS_MABRESP_RMT_DRAM", 1)],
    ]) { $1 }
    tables["amd64_fam19h_zen3"] = amd.merging([
      "l1-misses": [
        ("ANY_DATA_CACHE_FILLS_FROM_SYSTEM:LCL_L2:INT_CACHE:EXT_CACHE_LCL:MEM_IO_LCL:EXT_CACHE_RMT"
          + ":MEM_IO_RMT", 1)
      ],
      "dram-fills": [("ANY_DATA_CACHE_FILLS_FROM_SYSTEM:MEM_IO_LCL:MEM_IO_RMT", 1)],
    ]) { $1 }
    let zen4: Table = [
      "l1-misses": [
        ("ANY_DATA_CACHE_FILLS_FROM_SYSTEM:LCL_L2:LOCAL_CCX:NEAR_CACHE_NEAR_FAR:DRAM_IO_NEAR"
          + ":FAR_CACHE_NEAR_FAR:DRAM_IO_FAR", 1)
      ],
      "dram-fills": [("ANY_DATA_CACHE_FILLS_FROM_SYSTEM:DRAM_IO_NEAR:DRAM_IO_FAR", 1)],
      "frontend-stalls": [("DISPATCH_STALLS_1:FE_NO_OPS", 1)],
      "backend-stalls": [("DISPATCH_STALLS_1:BE_STALLS", 1)],
      "int8-operations": [("PACKED_INT_OPS_RETIRED:INT256_MAC", 1)],
    ]
    tables["amd64_fam19h_zen4"] = amd.merging(zen4) { $1 }
    tables["amd64_fam1ah_zen5"] = amd.merging(zen4) { $1 }
      .merging(["int8-operations": [("PACKED_INT_OPS_RETIRED:INT256_VNNI", 1)]]) { $1 }
    for pmu in ["arm_n1", "arm_n2", "arm_n3", "arm_v1", "arm_v2", "arm_v3"] { tables[pmu] = arm }
    for pmu in ["arm_n2", "arm_n3", "arm_v2", "arm_v3"] {
      tables[pmu]!["int8-operations"] = [("ASE_SVE_INT8_SPEC", 1)]
    }
    tables["arm_n1"]!["flops-f32"] = nil
    return tables
  }()

  /// Skylake to Sapphire Rapids. An FMA counts twice in FP_ARITH_INST_RETIRED, so the weight is the
  /// number of lanes.
  private static let intel: Table = [
    "cycles": [("UNHALTED_CORE_CYCLES", 1)],
    "instructions": [("INST_RETIRED:ANY_P", 1)],
    "l1-misses": [("MEM_LOAD_RETIRED:L1_MISS", 1)],
    "l2-misses": [("L2_RQSTS:ALL_DEMAND_MISS", 1)],
    "dram-fills": [("LONGEST_LAT_CACHE:MISS", 1)],
    "dtlb-walks": [("DTLB_LOAD_MISSES:WALK_COMPLETED", 1)],
    "branch-misses": [("BR_MISP_RETIRED:ALL_BRANCHES", 1)],
    "flops-f32": [
      ("FP_ARITH_INST_RETIRED:512B_PACKED_SINGLE", 16), ("FP_ARITH_INST_RETIRED:256B_PACKED_SINGLE", 8),
    ],
    "frontend-stalls": [("IDQ_UOPS_NOT_DELIVERED:CORE", 1)],
    "backend-stalls": [("CYCLE_ACTIVITY:STALLS_TOTAL", 1)],
  ]

  /// What Zen 2 to Zen 5 share. RETIRED_SSE_AVX_FLOPS counts operations already. Zen 2 and 3 count
  /// stalls by resource only, not by end of the pipeline.
  private static let amd: Table = [
    "cycles": [("CYCLES_NOT_IN_HALT", 1)],
    "instructions": [("RETIRED_INSTRUCTIONS", 1)],
    "l2-misses": [("CORE_TO_L2_CACHEABLE_REQUEST_ACCESS_STATUS:LS_RD_BLK_C", 1)],
    "dtlb-walks": [("L1_DTLB_MISS:TLB_RELOAD_4K_L2_MISS:TLB_RELOAD_2M_L2_MISS", 1)],
    "branch-misses": [("RETIRED_BRANCH_INSTRUCTIONS_MISPREDICTED", 1)],
    "flops-f32": [("RETIRED_SSE_AVX_FLOPS:ANY", 1)],
  ]

  /// Arm's common events (Arm ARM, D13.11); libpfm4 has them only where it is built for Arm.
  private static let arm: Table = [
    "cycles": [("CPU_CYCLES", 1)],
    "instructions": [("INST_RETIRED", 1)],
    "l1-misses": [("L1D_CACHE_REFILL", 1)],
    "l2-misses": [("L2D_CACHE_REFILL", 1)],
    "dram-fills": [("LL_CACHE_MISS_RD", 1)],
    "dtlb-walks": [("DTLB_WALK", 1)],
    "branch-misses": [("BR_MIS_PRED_RETIRED", 1)],
    "flops-f32": [("FP_FIXED_OPS_SPEC", 1)],
    "frontend-stalls": [("STALL_FRONTEND", 1)],
    "backend-stalls": [("STALL_BACKEND", 1)],
  ]
}
