/// How alike two embeddings are.
public enum Similarity {
  /// Cosine of the angle, in f64; 0 when either is zero.
  ///
  /// - Precondition: equal lengths.
  public static func cosine(_ a: [Float], _ b: [Float]) -> Double {
    precondition(a.count == b.count, "cosine of vectors of length \(a.count) and \(b.count)")
    var dot = 0.0
    var aa = 0.0
    var bb = 0.0
    for (x, y) in zip(a, b) {
      dot += Double(x) * Double(y)
      aa += Double(x) * Double(x)
      bb += Double(y) * Double(y)
    }
    let norm = (aa * bb).squareRoot()
    return norm > 0 ? dot / norm : 0
  }
}
