import CWallclockLinux

#if canImport(Glibc)
  import Glibc
#endif

/// The other end of a `WorkerProcess`: how a process that a tune started talks to it.
final class ParentChannel {
  private static let descriptor: Int32 = 3
  private var lines: LineBuffer

  /// - Parameter longestLine: bytes of a message at most.
  init(longestLine: Int = WorkerProtocol.longestLine) { lines = LineBuffer(longest: longestLine) }

  /// The next message, waited for; nil when the other side is gone.
  func next<Message: Decodable>(_ type: Message.Type) throws(TuneError) -> Message? {
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      switch lines.next() {
      case .line(let line):
        guard let message = WorkerProtocol.message(type, line) else {
          throw TuneError(.workerFailed, "the tuner sent no request this process understands")
        }
        return message
      case .tooLong: throw TuneError(.workerFailed, "the tuner sent a line of no request")
      case .incomplete: break
      }
      let got = unsafe wcl_worker_receive(Self.descriptor, &chunk, chunk.count, -1)
      if got == 0 { return nil }
      if got > 0 {
        lines.append(chunk.prefix(got))
      } else if got != -Int(EAGAIN) {
        throw TuneError(
          .workerFailed,
          "descriptor \(Self.descriptor) is no channel to a tune; `wallclock tune` starts its processes itself")
      }
    }
  }

  func send(_ message: some Encodable) throws { try send(bytes: WorkerProtocol.line(message)) }

  func send(bytes: [UInt8]) throws(TuneError) {
    guard unsafe wcl_worker_send(Self.descriptor, bytes, bytes.count) == 0 else {
      throw TuneError(.workerFailed, "the tuner does not listen on descriptor \(Self.descriptor)")
    }
  }
}
