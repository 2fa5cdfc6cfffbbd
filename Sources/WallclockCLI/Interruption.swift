import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// Ctrl-C and SIGTERM, once asked politely: long work looks at it between steps and ends well. A
/// second signal ends the program at once; what is in the journal is safe either way.
enum Interruption {
  private static let requested = Atomic<Bool>(false)

  static func install() {
    for number in [SIGINT, SIGTERM] {
      signal(number) { caught in
        Interruption.requested.store(true, ordering: .relaxed)
        signal(caught, SIG_DFL)
      }
    }
    // Whoever ignores SIGCHLD passes that on, and then no worker's ending can be read.
    signal(SIGCHLD, SIG_DFL)
    // A write past a file-size limit then fails as one to a full disk does, with a message.
    signal(SIGXFSZ, SIG_IGN)
  }

  static var isRequested: Bool { requested.load(ordering: .relaxed) }
}
