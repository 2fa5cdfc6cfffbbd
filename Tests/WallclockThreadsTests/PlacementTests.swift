import Testing
import WallclockCore
import WallclockMachine

@testable import WallclockThreads

@Suite struct PlacementTests {
  static let nodes = Machine.host.fingerprint.nodes.map(\.id)

  @Test(arguments: [1, 100, 5000, 1 << 20]) func pagesLandOnTheNodeAskedFor(count: Int) throws {
    for node in Self.nodes {
      guard Machine.host.fingerprint.nodes.first(where: { $0.id == node })!.memoryBytes > 0 else { continue }
      var buffer = try AlignedBuffer<Float>(count: count, placement: .node(node))
      #expect(try buffer.nodesOfPages().allSatisfy { $0 == nil }, "nothing is touched yet")
      for i in 0..<count { buffer[i] = Float(i) }
      let pages = try buffer.nodesOfPages()
      let pageBytes = Machine.host.fingerprint.pageBytes
      #expect(pages.count == (count * 4 + pageBytes - 1) / pageBytes)
      #expect(pages.allSatisfy { $0 == node })
    }
  }

  @Test func interleavedPagesUseEveryNode() throws {
    var buffer = try AlignedBuffer<UInt8>(count: 64 << 12, placement: .interleaved)
    for i in stride(from: 0, to: buffer.count, by: 4096) { buffer[i] = 1 }
    let used = Set(try buffer.nodesOfPages().compactMap { $0 })
    let withMemory = Machine.host.fingerprint.nodes.filter { $0.memoryBytes > 0 }.map(\.id)
    #expect(used.isSubset(of: withMemory))
    #expect(used.count == min(withMemory.count, 64))
  }

  @Test(arguments: [-1, 4000, Int.max]) func nodesThatDoNotExistAreRefused(node: Int) {
    let error = #expect(throws: ThreadError.self) {
      _ = try AlignedBuffer<Float>(count: 16, placement: .node(node)).count
    }
    #expect(error?.code == .noSuchNode)
  }

  @Test func emptyBuffersCanBePlaced() throws {
    let buffer = try AlignedBuffer<Float>(count: 0, placement: .node(Self.nodes[0]))
    #expect(buffer.count == 0)
    #expect(try buffer.nodesOfPages().count == 1)
  }
}
