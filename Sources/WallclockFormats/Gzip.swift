import CZlib
import Glibc

/// gzip files (RFC 1952) through zlib.
enum Gzip {
  static func isCompressed(_ bytes: [UInt8]) -> Bool { bytes.count >= 2 && bytes[0] == 0x1F && bytes[1] == 0x8B }

  /// - Parameters:
  ///   - limit: output beyond this is refused as it arises, so a small file cannot claim the memory.
  ///   - source: what it is, for messages.
  static func expand(_ bytes: [UInt8], limit: Int, source: String) throws(FormatError) -> [UInt8] {
    var stream = unsafe z_stream()
    // 15 bits of window, and 16 for a gzip header.
    guard unsafe inflateInit2_(&stream, 15 + 16, ZLIB_VERSION, CInt(MemoryLayout<z_stream>.size)) == Z_OK else {
      throw FormatError(.inputOutput, "\(source): zlib could not start; is there memory left?")
    }
    defer { unsafe inflateEnd(&stream) }
    var input = bytes
    var result: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 18)
    var consumed = 0
    while consumed < input.count {
      var status = Z_OK
      let start = consumed
      let produced = unsafe input.withUnsafeMutableBufferPointer { input in
        unsafe chunk.withUnsafeMutableBufferPointer { chunk in
          unsafe stream.next_in = input.baseAddress! + start
          unsafe stream.avail_in = UInt32(min(input.count - start, 1 << 30))
          let offered = unsafe stream.avail_in
          unsafe stream.next_out = chunk.baseAddress!
          unsafe stream.avail_out = UInt32(chunk.count)
          status = unsafe inflate(&stream, Z_NO_FLUSH)
          unsafe consumed = start + Int(offered - stream.avail_in)
          return unsafe chunk.count - Int(stream.avail_out)
        }
      }
      guard result.count + produced <= limit else {
        throw FormatError(.tooLarge, "\(source) expands to more than \(limit) bytes; at most that many are accepted")
      }
      result += chunk[..<produced]
      switch status {
      case Z_OK, Z_BUF_ERROR:
        if produced == 0 && consumed >= input.count {
          throw FormatError(.truncated, "\(source): the gzip stream ends early; fetch the file again")
        }
      case Z_STREAM_END:
        if consumed == input.count { return result }
        // Another member may follow, as `cat a.gz b.gz` leaves it.
        guard unsafe inflateReset(&stream) == Z_OK else {
          throw FormatError(.badValue, "\(source): the gzip stream is damaged")
        }
      default:
        let reason = unsafe stream.msg.map { unsafe String(cString: $0) } ?? "error \(status)"
        throw FormatError(.badValue, "\(source): the gzip stream is damaged (\(reason)); fetch the file again")
      }
    }
    throw FormatError(.truncated, "\(source): the gzip stream ends early; fetch the file again")
  }

  static func compress(_ bytes: [UInt8]) throws(FormatError) -> [UInt8] {
    var stream = unsafe z_stream()
    guard
      unsafe deflateInit2_(
        &stream, Z_BEST_COMPRESSION, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
        CInt(MemoryLayout<z_stream>.size)) == Z_OK
    else { throw FormatError(.inputOutput, "zlib could not start; is there memory left?") }
    defer { unsafe deflateEnd(&stream) }
    var input = bytes
    // The caller's data is at most what `expand` accepts, which fits zlib's counters.
    precondition(input.count < 1 << 31)
    var result = [UInt8](repeating: 0, count: unsafe Int(deflateBound(&stream, UInt(input.count))))
    let capacity = result.count
    let (status, left) = unsafe input.withUnsafeMutableBufferPointer { input in
      unsafe result.withUnsafeMutableBufferPointer { output in
        unsafe stream.next_in = input.baseAddress
        unsafe stream.avail_in = UInt32(input.count)
        unsafe stream.next_out = output.baseAddress
        unsafe stream.avail_out = UInt32(capacity)
        let status = unsafe deflate(&stream, Z_FINISH)
        return unsafe (status, Int(stream.avail_out))
      }
    }
    guard status == Z_STREAM_END else { throw FormatError(.inputOutput, "zlib could not compress \(input.count) bytes") }
    result.removeLast(left)
    return result
  }
}
