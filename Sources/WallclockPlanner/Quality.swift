import WallclockCore
import WallclockProfiles

/// What a statement about quality rests on, strongest first. Kinds are never mixed silently.
public enum QualityEvidence: String, Hashable, Sendable, Codable {
  /// Nothing was changed: f32 is what the others are compared with.
  case reference
  /// On the user's own weights.
  case measured
  /// The worst measured figure of the formats a plan mixes; the mix itself was not run.
  case predicted
  /// By others, on another model of the family. A warning and an order, not a promise.
  case published
  case unknown
}

/// The quality a plan loses, as far as it is known.
public struct Quality: Hashable, Sendable {
  /// Relative loss (0.01 is 1 %) of the metric `source` names; nil when unknown.
  public var loss: Double?
  public var evidence: QualityEvidence
  public var source: String

  public init(loss: Double?, evidence: QualityEvidence, source: String) {
    self.loss = loss
    self.evidence = evidence
    self.source = source
  }
}

extension Quality: Codable {
  private enum CodingKeys: String, CodingKey { case loss, evidence, source }

  // `loss` is written as null where unknown: readers find the key in every plan.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(loss, forKey: .loss)
    try container.encode(evidence, forKey: .evidence)
    try container.encode(source, forKey: .source)
  }
}

/// A published figure for a model family, weight bits and activation bits.
struct PublishedQuality: Sendable {
  /// The first word of a ModelGraph's name.
  var family: String
  var weightBits: Int
  var activationBits: Int
  /// Relative loss over the rows of one table; negative is a gain.
  var loss: ClosedRange<Double>
  /// Whether the model was only rounded, as Wallclock does. A retrained model's figure says nothing
  /// about how much rounding alone loses, so it can rank but not satisfy a limit.
  var isPostTraining: Bool
  var source: String

  /// Published figures for the families Wallclock plans. Value over baseline within one table of one
  /// source; figures of other families are not carried over.
  static let table: [PublishedQuality] = [
    // F1 89.06 against 89.48.
    PublishedQuality(
      family: "bert", weightBits: 8, activationBits: 8, loss: 0.0047...0.0047, isPostTraining: false,
      source: "BERT-base, SQuAD v1.1 F1, quantization-aware training (arXiv:2203.07259, Table 3)")
  ]

  static func find(family: String, _ format: Format) -> PublishedQuality? {
    let weightBits: Int
    switch format.weights {
    case .f32: weightBits = 32
    case .bf16: weightBits = 16
    case .int8: weightBits = 8
    case .int8Grouped: return nil  // the table has scales per channel
    case .int4: weightBits = 4
    }
    let activationBits = format.activations == .int8 ? 8 : 16
    return table.first {
      $0.family == family && $0.weightBits == weightBits && $0.activationBits == activationBits
    }
  }
}

/// What is known of each format's quality on one model.
struct QualityKnowledge: Sendable {
  var family: String
  var measured: [Format: MeasuredQuality]

  func quality(of format: Format) -> Quality {
    if format == .f32 { return Quality(loss: 0, evidence: .reference, source: "f32 is the reference") }
    if let known = measured[format] {
      return Quality(loss: known.loss, evidence: .measured, source: known.source)
    }
    if let prior = PublishedQuality.find(family: family, format) {
      return Quality(loss: prior.loss.upperBound, evidence: .published, source: prior.source)
    }
    return Quality(loss: nil, evidence: .unknown, source: "no figure for \(format) on this model family")
  }

  /// The quality of a plan that uses `formats`: the worst and weakest of what is known of each.
  func quality(of formats: [Format]) -> Quality {
    let parts = Set(formats.isEmpty ? [.f32] : formats).sorted {
      $0.lossiness < $1.lossiness || ($0.lossiness == $1.lossiness && $0.description < $1.description)
    }
    .map { (format: $0, quality: quality(of: $0)) }
    if parts.count == 1 { return parts[0].quality }
    let changed = parts.filter { $0.quality.evidence != .reference }
    if let unknown = changed.first(where: { $0.quality.evidence == .unknown }) { return unknown.quality }
    let worst = changed.max { ($0.quality.loss ?? 0) < ($1.quality.loss ?? 0) } ?? parts[0]
    let published = changed.contains { $0.quality.evidence == .published }
    return Quality(
      loss: worst.quality.loss, evidence: published ? .published : .predicted,
      source:
        "worst of \(parts.map(\.format.description).joined(separator: ", ")), each alone: "
        + worst.quality.source)
  }

  /// Why `format` may not be used under a limit on the loss; nil when it may.
  func objection(to format: Format, maximumLoss: Double) -> String? {
    let known = quality(of: format)
    let limit = percent(maximumLoss)
    switch known.evidence {
    case .reference: return nil
    case .measured, .predicted:
      guard let loss = known.loss, loss > maximumLoss else { return nil }
      return "loses \(percent(loss)) (\(known.source)), the limit is \(limit)"
    case .published:
      if let prior = PublishedQuality.find(family: family, format), !prior.isPostTraining {
        return "within \(limit) is not shown: the only figure is of a retrained model, "
          + "\(percent(prior.loss.upperBound)) (\(prior.source)); measure it with `wallclock verify`"
      }
      guard let loss = known.loss, loss > maximumLoss else { return nil }
      return "published loss up to \(percent(loss)) (\(known.source)), the limit is \(limit)"
    case .unknown:
      return "within \(limit) is not shown: \(known.source); measure it with `wallclock verify`"
    }
  }
}

extension Format {
  /// Order of how much a format rounds: f32, bf16, 8-bit, 4-bit.
  var lossiness: Int {
    switch weights {
    case .f32: 0
    case .bf16: 1
    case .int8, .int8Grouped: 2
    case .int4: 3
    }
  }
}
