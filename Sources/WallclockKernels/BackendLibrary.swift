import CWallclockKernels
import WallclockCore

#if canImport(Glibc)
  import Glibc
#endif

/// A plug-in library, loaded into this process: it may crash, so that this is a process for it alone.
///
/// It stays loaded until the process ends; threads of its own may still be running its code.
@safe public final class BackendLibrary {
  public let description: BackendDescription
  private let prepareFunction: wallclock_prepare_fn
  let run: wallclock_run_fn
  let release: wallclock_release_fn
  let parallel: wallclock_parallel_fn?

  /// Room for what it fills in; more than this version of the ABI has, for a library that clears a newer struct.
  private static let roomBytes = 64 << 10

  /// - Parameter path: of the file; one without a slash would be looked for elsewhere.
  /// - Throws: `BackendError`: `.cannotLoad`, `.noEntryPoint`, `.wrongVersion` or `.badTable`.
  public init(path: String) throws(BackendError) {
    guard path.contains("/"), let library = unsafe dlopen(path, RTLD_NOW | RTLD_LOCAL) else {
      let reason = unsafe dlerror().map { unsafe String(cString: $0) } ?? "no path"
      throw BackendError(.cannotLoad, "cannot be loaded: \(reason)")
    }
    guard let symbol = unsafe dlsym(library, "wallclock_backend_v1") else {
      if let other = (2...9).first(where: { unsafe dlsym(library, "wallclock_backend_v\($0)") != nil }) {
        throw BackendError(
          .wrongVersion,
          "has wallclock_backend_v\(other) and no wallclock_backend_v1: it is of another version of the ABI than 1, which this program speaks"
        )
      }
      throw BackendError(.noEntryPoint, "has no symbol wallclock_backend_v1: it is no backend, or does not export it")
    }
    let entry = unsafe unsafeBitCast(symbol, to: (@convention(c) (UnsafeMutablePointer<wallclock_backend>?) -> Int32).self)
    let room = AlignedBuffer<UInt8>(count: Self.roomBytes)
    let backend = unsafe UnsafeMutableRawPointer(room.unsafePointer).bindMemory(to: wallclock_backend.self, capacity: 1)
    let size = UInt32(MemoryLayout<wallclock_backend>.size)
    unsafe backend.pointee.abi = WALLCLOCK_BACKEND_ABI
    unsafe backend.pointee.size = size
    let status = unsafe entry(backend)
    let found = unsafe backend.pointee
    guard found.abi == WALLCLOCK_BACKEND_ABI else {
      throw BackendError(
        .wrongVersion, "speaks version \(found.abi) of the ABI; this program speaks \(WALLCLOCK_BACKEND_ABI)")
    }
    guard status == WALLCLOCK_OK else {
      throw BackendError(
        status == WALLCLOCK_UNSUPPORTED ? .wrongVersion : .failed,
        "answered \(Self.name(ofStatus: status)) to version \(WALLCLOCK_BACKEND_ABI) of the ABI")
    }
    // All fields of version 1 are required, and none may lie beyond the room.
    guard found.size == size else {
      throw BackendError(
        .wrongVersion, "fills \(found.size) bytes where version \(WALLCLOCK_BACKEND_ABI) of the ABI has \(size)")
    }
    guard let prepare = unsafe found.prepare, let run = unsafe found.run, let release = unsafe found.release else {
      throw BackendError(.badTable, "leaves out prepare, run or release")
    }
    unsafe prepareFunction = prepare
    unsafe self.run = run
    unsafe self.release = release
    unsafe parallel = found.parallel
    description = try BackendDescription(
      name: Self.name(in: found), version: Self.text(found.version) ?? "", problems: Self.problems(in: found))
  }

  private static func name(in backend: wallclock_backend) throws(BackendError) -> String {
    guard let name = text(backend.name), Backend(name)?.plugin == name, !reserved.contains(name) else {
      throw BackendError(
        .badTable,
        "calls itself \"\(text(backend.name) ?? "?")\"; expected a to z, 0 to 9, - and _, a letter first, and no name of this program's own"
      )
    }
    return name
  }

  /// What stands for something else on the command line.
  private static let reserved: Set<String> = Set(KernelTable.all.map(\.name)).union(["default", "tuned"])

  private static func problems(in backend: wallclock_backend) throws(BackendError) -> [BackendProblem] {
    let count = backend.problem_count
    guard (1...WALLCLOCK_MOST_PROBLEMS).contains(Int(count)) else {
      throw BackendError(.badTable, "has a table of \(count) problems; expected 1 to \(WALLCLOCK_MOST_PROBLEMS)")
    }
    var table = backend.problems
    let rows = unsafe withUnsafeBytes(of: &table) { unsafe Array($0.bindMemory(to: wallclock_problem.self).prefix(Int(count))) }
    var problems: [BackendProblem] = []
    for row in rows {
      guard let problem = try BackendProblem(row) else { continue }
      guard !problems.contains(where: { $0.format == problem.format }) else {
        throw BackendError(.badTable, "has \(problem.format) twice in its table")
      }
      problems.append(problem)
    }
    return problems
  }

  /// Fixed room for text: up to its zero, printable characters only; nil when it is empty or no UTF-8.
  private static func text<Room>(_ room: Room) -> String? {
    let bytes = unsafe withUnsafeBytes(of: room) { unsafe Array($0.prefix { $0 != 0 }) }
    guard let text = String(validating: bytes, as: UTF8.self) else { return nil }
    let printable = text.filter { $0.unicodeScalars.allSatisfy { $0.value >= 32 && $0.value != 127 } }
    return printable.isEmpty ? nil : printable
  }

  private static func name(ofStatus status: Int32) -> String {
    switch Int(status) {
    case WALLCLOCK_OK: "ok"
    case WALLCLOCK_UNSUPPORTED: "unsupported"
    case WALLCLOCK_INVALID_ARGUMENT: "invalid argument"
    case WALLCLOCK_OUT_OF_MEMORY: "out of memory"
    case WALLCLOCK_FAILED: "failed"
    default: "status \(status), which the ABI does not have"
    }
  }

  /// nil when it answered that all is well.
  func failure(_ status: Int32, _ message: wallclock_message, in call: String, of what: String) -> BackendError? {
    if status == WALLCLOCK_OK { return nil }
    return BackendError(
      status == WALLCLOCK_UNSUPPORTED ? .unsupported : .failed,
      "\(description.name): \(call) of \(what) answered \(Self.name(ofStatus: status))"
        + (Self.text(message.text).map { ": \($0)" } ?? ""))
  }

  /// - Returns: what the library made of it, which is to be given to `release`.
  func prepare(_ gemm: wallclock_gemm, of problem: Problem) throws(BackendError) -> UnsafeMutableRawPointer? {
    var prepared: UnsafeMutableRawPointer?
    var message = wallclock_message()
    let status = unsafe withUnsafePointer(to: gemm) { unsafe prepareFunction($0, &prepared, &message) }
    if let failure = failure(status, message, in: "prepare", of: "\(problem)") { throw failure }
    return unsafe prepared
  }
}
