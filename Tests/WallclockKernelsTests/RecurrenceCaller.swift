import CWallclockKernels
import WallclockCore
import WallclockKernels
import WallclockTestSupport

/// Calls one recurrence kernel through the C ABI on operands that end at pages which may not be touched.
@safe final class RecurrenceCaller {
  let kernel: KernelDescriptor
  private(set) var calls = 0
  private var memory: [String: GuardedMemory] = [:]

  init(_ kernel: KernelDescriptor) { self.kernel = kernel }

  struct Output {
    var o, state, z: [Float]
  }

  private func place(_ name: String, _ values: [Float], columns: Int, gap: Int = 0) -> UnsafeMutablePointer<Float> {
    let rows = columns == 0 ? 0 : values.count / columns
    let count = rows == 0 ? 0 : (rows - 1) * (columns + gap) + columns
    let guarded = guardedMemory(name, bytes: count * 4)
    let p = unsafe guarded.place(count, of: Float.self)
    for i in 0..<values.count { unsafe p[i / columns * (columns + gap) + i % columns] = values[i] }
    return unsafe p
  }

  private func guardedMemory(_ name: String, bytes: Int) -> GuardedMemory {
    if let there = memory[name] { return there }
    let made = GuardedMemory(capacity: 1 << 19)
    precondition(bytes < 1 << 19, "\(name) takes \(bytes) bytes")
    memory[name] = made
    return made
  }

  /// The arguments for `oracle`, their operands laid out with `gap` NaN between rows.
  func arguments(_ oracle: RecurrenceOracle, chunk: Int, gap: Int) -> wc_recurrence_args {
    let (dk, dv) = (oracle.dk, oracle.dv)
    var args = unsafe wc_recurrence_args()
    unsafe args.tokens = oracle.tokens
    unsafe args.dk = dk
    unsafe args.dv = dv
    unsafe args.q = UnsafePointer(place("q", oracle.q, columns: dk, gap: gap))
    unsafe args.k = UnsafePointer(place("k", oracle.k, columns: dk, gap: gap))
    unsafe args.v = UnsafePointer(place("v", oracle.v, columns: dv, gap: gap))
    unsafe args.a = UnsafePointer(place("a", oracle.a, columns: dk, gap: gap))
    unsafe args.b = UnsafePointer(place("b", oracle.b, columns: dk, gap: gap))
    unsafe args.ldq = dk + gap
    unsafe args.ldk = dk + gap
    unsafe args.ldv = dv + gap
    unsafe args.lda = dk + gap
    unsafe args.ldb = dk + gap
    unsafe args.decay = UnsafePointer(place("decay", oracle.decay, columns: oracle.decayColumns, gap: gap))
    unsafe args.ld_decay = oracle.decayColumns + gap
    unsafe args.rate = UnsafePointer(place("rate", oracle.rate, columns: 1, gap: gap))
    unsafe args.ld_rate = 1 + gap
    unsafe args.bonus = UnsafePointer(place("bonus", oracle.bonus, columns: dk))
    unsafe args.log_decay = oracle.logDecay
    unsafe args.skip = oracle.skip
    unsafe args.scale = oracle.scale
    unsafe args.epsilon = oracle.epsilon
    unsafe args.o = place("o", Array(repeating: .nan, count: oracle.tokens * dv), columns: dv, gap: gap)
    unsafe args.ldo = dv + gap
    unsafe args.state = place("state", oracle.state, columns: dv, gap: gap)
    unsafe args.ld_state = dv + gap
    let z = unsafe place("z", oracle.z, columns: dk)
    unsafe args.z = UnsafePointer(z)
    unsafe args.z_after = unsafe z
    let bytes = unsafe kernel.row.pointee.recurrence_scratch_bytes(oracle.tokens, dk, dv)
    unsafe args.scratch = UnsafeMutableRawPointer(
      guardedMemory("scratch", bytes: bytes).place(bytes, of: UInt8.self, alignment: 64))
    unsafe args.chunk = chunk
    return unsafe args
  }

  /// What the kernel makes, or why there is nothing.
  func run(_ oracle: RecurrenceOracle, chunk: Int, gap: Int = 0) -> (output: Output?, wrong: String?) {
    var args = unsafe arguments(oracle, chunk: chunk, gap: gap)
    calls += 1
    let status = unsafe kernel.row.pointee.recurrence!(&args)
    if status != WC_OK { return (nil, "status \(status.rawValue)") }
    for (name, guarded) in memory where !guarded.isIntact { return (nil, "wrote around \(name)") }
    func rows(_ p: UnsafeMutablePointer<Float>, _ count: Int, _ columns: Int) -> [Float]? {
      var values: [Float] = []
      for i in 0..<count {
        for j in 0..<columns { unsafe values.append(p[i * (columns + gap) + j]) }
        guard i + 1 < count else { continue }
        for j in columns..<columns + gap where unsafe p[i * (columns + gap) + j].bitPattern != 0xFFFF_FFFF { return nil }
      }
      return values
    }
    guard let o = unsafe rows(args.o, oracle.tokens, oracle.dv), let state = unsafe rows(args.state, oracle.dk, oracle.dv)
    else { return (nil, "wrote between rows") }
    return (Output(o: o, state: state, z: (0..<oracle.dk).map { unsafe args.z_after[$0] }), nil)
  }

  /// What is wrong with the output of one call, or nil.
  func mismatch(_ oracle: RecurrenceOracle, chunk: Int, gap: Int) -> String? {
    let (output, wrong) = run(oracle, chunk: chunk, gap: gap)
    guard let output else { return wrong }
    return Self.mismatch(output, oracle.result(), of: oracle.op)
  }

  static func mismatch(_ output: Output, _ expected: RecurrenceOracle.Result, of op: Op) -> String? {
    var parts = [("o", output.o, expected.o, expected.oSize), ("the state", output.state, expected.state, expected.stateSize)]
    if op == .linearAttention { parts.append(("z", output.z, expected.z, expected.z)) }
    for (name, found, expected, sizes) in parts {
      var error = RecurrenceError()
      for (index, value) in found.enumerated() { error.add(Double(value), expected[index], size: sizes[index]) }
      guard error.overTolerance <= 1 else { return "\(name) is \(error.overTolerance)× the tolerance off" }
    }
    return nil
  }
}
