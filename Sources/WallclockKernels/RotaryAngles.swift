import CWallclockKernels
import WallclockCore

#if canImport(Glibc)
  import Glibc
#endif

/// The cosines and sines by which a rotary embedding turns the pairs of a head, for each position (Su et al., arXiv
/// 2104.09864): pair i of position p by p·base^(−2i/rotary). Computed in f64, kept in f32.
public struct RotaryAngles: ~Copyable {
  public let op: Op
  public let positions: Int
  public let rotary: Int
  let cosines, sines: AlignedBuffer<Float>
  /// From one position to the next.
  let stride: Int

  /// - Parameters:
  ///   - op: `rope` or `ropeInterleaved`, whose kernels will read them.
  ///   - positions: positions 0 ..< positions can be turned.
  ///   - rotary: values of each head that are turned; even.
  /// - Throws: `KernelError.shapeMismatch` when there is no such table.
  public init(_ op: Op, positions: Int, rotary: Int, base: Double = 10_000) throws(KernelError) {
    guard op.isRope, positions >= 1, rotary >= 2, rotary % 2 == 0, base > 0, base.isFinite else {
      throw KernelError(
        .shapeMismatch,
        "\(op.rawValue) of \(positions) positions, rotary \(rotary), base \(base): expected a rope, a position or more, an even number of values, and a positive base")
    }
    self.op = op
    self.positions = positions
    self.rotary = rotary
    // Each cosine twice and each sine with either sign where pairs are neighbours.
    let copies = op == .ropeInterleaved ? 2 : 1
    stride = copies * rotary / 2
    cosines = AlignedBuffer(count: positions * stride)
    sines = AlignedBuffer(count: positions * stride)
    for i in 0..<rotary / 2 {
      let speed = pow(base, -2 * Double(i) / Double(rotary))
      for p in 0..<positions {
        let angle = Double(p) * speed
        let (cosine, sine) = (Float(cos(angle)), Float(sin(angle)))
        for copy in 0..<copies {
          unsafe cosines.unsafePointer[p * stride + i * copies + copy] = cosine
          unsafe sines.unsafePointer[p * stride + i * copies + copy] = copies == 2 && copy == 0 ? -sine : sine
        }
      }
    }
  }

  /// All of them, a row for each position.
  package func tables() -> (cosines: [Float], sines: [Float]) { (cosines.array(), sines.array()) }
}

extension RowwiseOperator {
  /// The arguments of a rotary embedding of rows of `heads` heads, but for what is turned.
  ///
  /// - Parameter positions: a row's position each, below those of `angles`.
  package static func arguments(
    of angles: borrowing RotaryAngles, rows: Int, heads: Int, headDim: Int, positions: UnsafePointer<Int32>
  ) -> wc_rowwise_args {
    var args = unsafe wc_rowwise_args()
    unsafe args.rows = rows
    unsafe args.columns = heads * headDim
    unsafe args.ldx = heads * headDim
    unsafe args.ldy = heads * headDim
    unsafe args.cosines = UnsafePointer(angles.cosines.unsafePointer)
    unsafe args.sines = UnsafePointer(angles.sines.unsafePointer)
    unsafe args.ld_angles = angles.stride
    unsafe args.head_dim = headDim
    unsafe args.rotary = angles.rotary
    unsafe args.ids.0 = positions
    return unsafe args
  }
}
