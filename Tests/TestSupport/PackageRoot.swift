import Foundation

/// Where the package lies.
public enum PackageRoot {
    /// The folder of `Package.swift`, without a slash at the end.
    public static let path: String = {
        let file = URL(fileURLWithPath: #filePath)
        return file.deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().path
    }()

    /// The path of a file of the package.
    public static func path(_ relative: String) -> String {
        "\(path)/\(relative)"
    }
}
