import Testing
import WallclockCore
import WallclockTestSupport

@Suite struct AlignedBufferTests {
  @Test(arguments: [0, 1, 15, 16, 17, 1023, 4096, 1 << 19, (1 << 19) + 3])
  func isAlignedAndZero(count: Int) {
    let buffer = AlignedBuffer<Float>(count: count)
    #expect(buffer.count == count && buffer.span.count == count)
    let address = unsafe UInt(bitPattern: buffer.unsafePointer)
    #expect(address % 64 == 0)
    if count * 4 >= 2 << 20 { #expect(address % (2 << 20) == 0, "large buffers can use huge pages") }
    #expect(buffer.array().allSatisfy { $0 == 0 })
  }

  @Test func holdsWhatItWasGiven() {
    var buffer = AlignedBuffer<Int32>([5, -7, 9] as [Int32])
    #expect(buffer.array() == [5, -7, 9])
    buffer[1] = 11
    var span = buffer.mutableSpan
    span[2] = 13
    #expect(buffer[0] == 5 && buffer[1] == 11 && buffer.span[2] == 13)
    #expect(AlignedBuffer<UInt8>([] as [UInt8]).array().isEmpty)
  }

  @Test func indicesAreChecked() async {
    await #expect(processExitsWith: .failure) { _ = AlignedBuffer<Float>(count: 3)[3] }
    await #expect(processExitsWith: .failure) { _ = AlignedBuffer<Float>(count: 3)[-1] }
    await #expect(processExitsWith: .failure) { _ = AlignedBuffer<Float>(count: 0)[0] }
    await #expect(processExitsWith: .failure) {
      var buffer = AlignedBuffer<Float>(count: 3)
      buffer[3] = 1
    }
  }

  @Test func impossibleSizesTrap() async {
    await #expect(processExitsWith: .failure) { _ = AlignedBuffer<Float>(count: -1) }
    await #expect(processExitsWith: .failure) { _ = AlignedBuffer<Float>(count: Int.max) }
    await #expect(processExitsWith: .failure) { _ = AlignedBuffer<UInt8>(count: Int.max) }
  }
}

@Suite struct ExecutorTests {
  private func visits(_ executor: any Executor, count: Int, grain: Int) -> [Int] {
    var visits = [Int](repeating: 0, count: max(0, count))
    executor.forEachRange(of: count, grain: grain) { range, worker in
      for i in range { visits[i] += 1 }
      #expect(!range.isEmpty && range.count <= max(1, grain) && (0..<executor.workerCount).contains(worker))
    }
    return visits
  }

  @Test func everyIndexOnce() {
    for count in [0, 1, 7, 100] {
      for grain in [-3, 0, 1, 3, 100, 1 << 40] {
        for executor in [SerialExecutor(), ScramblingExecutor(workers: 3, seed: 4)] as [any Executor] {
          #expect(visits(executor, count: count, grain: grain).allSatisfy { $0 == 1 }, "\(count) by \(grain)")
        }
      }
    }
  }
}
