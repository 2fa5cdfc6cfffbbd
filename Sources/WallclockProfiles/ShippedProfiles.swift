import Foundation

extension ProfileStore {
  /// `profiles/machines` as installed beside the program; nil where it is not.
  ///
  /// Looked up by hand: `Bundle.module` traps when the program was moved without its resources.
  public static var shippedFolder: URL? {
    let folder = Bundle.main.bundleURL.appending(
      path: "wallclock_WallclockProfiles.resources/profiles/machines")
    return FileManager.default.fileExists(atPath: folder.path(percentEncoded: false)) ? folder : nil
  }
}
