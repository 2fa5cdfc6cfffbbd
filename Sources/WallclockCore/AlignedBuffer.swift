#if canImport(Glibc)
  import Glibc
#endif

/// Owned memory for operands: 64-byte aligned, page-aligned and advised to use huge pages when
/// large. Not initialised pages are zero; a page lands on the node that first touches it unless
/// it was placed before (see `WallclockThreads`).
@safe public struct AlignedBuffer<Element: BitwiseCopyable>: ~Copyable, @unchecked Sendable {
  // Sendable: one owner; views are scoped to it, and a body of a parallel region that writes
  // through `unsafePointer` writes disjoint ranges (Executor's rule).
  private let storage: UnsafeMutableBufferPointer<Element>
  private let mappedBytes: Int

  /// Buffers of at least this many bytes are mapped on their own and advised to use huge pages.
  private static var hugePageBytes: Int { 2 << 20 }

  /// `count` zeroed elements. Traps when the size overflows or memory is exhausted: check sizes
  /// that come from outside before asking.
  public init(count: Int) {
    precondition(count >= 0, "AlignedBuffer: negative count \(count)")
    let (bytes, overflow) = count.multipliedReportingOverflow(by: MemoryLayout<Element>.stride)
    precondition(!overflow, "AlignedBuffer: \(count) elements overflow the address space")
    let wanted = max(bytes, 64)
    let align = wanted >= Self.hugePageBytes ? Self.hugePageBytes : 4096
    let rounded = (wanted + align - 1) / align * align
    // Over-map by the alignment and trim, so that huge pages can be used from the first byte.
    let raw = unsafe mmap(
      nil, rounded + align, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    // Said in optimised builds too, unlike a precondition: it depends on the host, not on the program.
    if unsafe raw == MAP_FAILED { fatalError("AlignedBuffer: out of memory for \(wanted) bytes") }
    let start = unsafe UInt(bitPattern: raw!)
    let aligned = (start + UInt(align) - 1) / UInt(align) * UInt(align)
    if aligned > start { unsafe munmap(raw, Int(aligned - start)) }
    let tail = Int(start) + rounded + align - Int(aligned) - rounded
    if tail > 0 { unsafe munmap(UnsafeMutableRawPointer(bitPattern: aligned + UInt(rounded)), tail) }
    let base = unsafe UnsafeMutableRawPointer(bitPattern: aligned)!
    if align == Self.hugePageBytes { unsafe madvise(base, rounded, MADV_HUGEPAGE) }
    mappedBytes = rounded
    unsafe storage = UnsafeMutableBufferPointer(
      start: base.bindMemory(to: Element.self, capacity: max(count, 1)), count: count)
  }

  public init(_ elements: some Collection<Element>) {
    self.init(count: elements.count)
    _ = unsafe storage.update(fromContentsOf: elements)
  }

  deinit { unsafe munmap(UnsafeMutableRawPointer(storage.baseAddress!), mappedBytes) }

  public var count: Int { unsafe storage.count }

  public subscript(index: Int) -> Element {
    get {
      precondition(index >= 0 && index < count, "AlignedBuffer: index \(index) is outside 0..<\(count)")
      return unsafe storage[index]
    }
    set {
      precondition(index >= 0 && index < count, "AlignedBuffer: index \(index) is outside 0..<\(count)")
      unsafe storage[index] = newValue
    }
  }

  public var span: Span<Element> {
    @_lifetime(borrow self)
    get { unsafe _overrideLifetime(Span(_unsafeElements: UnsafeBufferPointer(storage)), borrowing: self) }
  }

  public var mutableSpan: MutableSpan<Element> {
    @_lifetime(&self)
    mutating get { unsafe _overrideLifetime(MutableSpan(_unsafeElements: storage), mutating: &self) }
  }

  /// The start, for the kernel ABI; valid while the buffer lives.
  package var unsafePointer: UnsafeMutablePointer<Element> { unsafe storage.baseAddress! }

  public func array() -> [Element] { unsafe Array(storage) }
}
