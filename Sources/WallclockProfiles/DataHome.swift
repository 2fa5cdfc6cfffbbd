import Foundation

/// Where Wallclock keeps its data: `$XDG_DATA_HOME/wallclock`, else `~/.local/share/wallclock`.
public enum DataHome {
  /// An empty or relative XDG_DATA_HOME counts as unset (XDG Base Directory Specification 0.8).
  public static func folder(
    environment: [String: String] = ProcessInfo.processInfo.environment
  ) throws(ProfileError) -> URL {
    if let data = environment["XDG_DATA_HOME"], data.hasPrefix("/") {
      return URL(filePath: data, directoryHint: .isDirectory).appending(component: "wallclock")
    }
    guard let home = environment["HOME"], home.hasPrefix("/") else {
      throw ProfileError(
        .cannotCreate,
        "neither XDG_DATA_HOME nor HOME names a folder; set XDG_DATA_HOME to where profiles may be kept")
    }
    return URL(filePath: home, directoryHint: .isDirectory).appending(path: ".local/share/wallclock")
  }
}
