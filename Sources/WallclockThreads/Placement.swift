import CWallclockLinux
public import WallclockCore
import WallclockMachine

#if canImport(Glibc)
  import Glibc
#endif

extension AlignedBuffer {
  /// `count` zeroed elements whose pages will land where `placement` says, whoever touches them.
  ///
  /// Where the kernel has no NUMA policy there is one node, 0, and every placement on it holds.
  ///
  /// - Throws: `ThreadError` when there is no such node, or the kernel refuses.
  public init(count: Int, placement: Placement) throws {
    self.init(count: count)
    let bytes = max(count * MemoryLayout<Element>.stride, 1)
    let start = unsafe UnsafeMutableRawPointer(unsafePointer)
    let result: Int32
    switch placement {
    case .firstTouch:
      return
    case .interleaved:
      result = unsafe wcl_numa_interleave(start, bytes)
    case .node(let node):
      let nodes = Machine.host.fingerprint.nodes
      guard let id = Int32(exactly: node), nodes.contains(where: { $0.id == node }) else {
        let known = nodes.map { String($0.id) }.joined(separator: ", ")
        throw ThreadError(.noSuchNode, "there is no NUMA node \(node); this machine has: \(known)")
      }
      if Machine.host.hasNUMA && wcl_numa_node_allowed(id) == 0 {
        throw ThreadError(
          .cannotPlace, "this process may not use the memory of NUMA node \(node) (cpuset.mems); choose another")
      }
      result = unsafe wcl_numa_bind(start, bytes, id)
    }
    // With one node every page is there already, so it does not matter that a container or a
    // kernel without NUMA refuses to be told so.
    guard result != 0, Machine.host.fingerprint.nodes.count > 1 else { return }
    throw ThreadError(
      .cannotPlace,
      "the kernel refused placement \(placement) (errno \(-result)); "
        + "a container needs CAP_SYS_NICE, or use first-touch")
  }

  /// The NUMA node of each page, from the first; nil for pages nobody has touched yet.
  ///
  /// - Throws: `ThreadError` when the kernel will not say.
  public func nodesOfPages() throws -> [Int?] {
    let page = Machine.host.fingerprint.pageBytes
    let pages = max(count * MemoryLayout<Element>.stride + page - 1, page) / page
    let start = unsafe UnsafeMutableRawPointer(unsafePointer)
    guard Machine.host.hasNUMA else {
      var resident = [UInt8](repeating: 0, count: pages)
      guard unsafe mincore(start, pages * page, &resident) == 0 else {
        throw ThreadError(.cannotPlace, "the kernel does not say which pages are there (errno \(errno))")
      }
      return resident.map { $0 & 1 == 1 ? 0 : nil }
    }
    var nodes = [Int32](repeating: -1, count: pages)
    let result = unsafe wcl_numa_page_nodes(start, pages, page, &nodes)
    guard result == 0 else {
      throw ThreadError(.cannotPlace, "the kernel does not say where pages are (errno \(-result))")
    }
    return nodes.map { $0 >= 0 ? Int($0) : nil }
  }
}
