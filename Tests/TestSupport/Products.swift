import Foundation

/// The programs of the package as the build made them. Tests start them by path: a test target
/// cannot depend on a target linked fully static, its linker flags would reach the test bundle.
public enum Products {
    public struct Missing: Error, CustomStringConvertible {
        public let path: String
        public let command: String

        public var description: String { "`\(path)` is not built: run `\(command)`" }
    }

    /// The path of a program that this build made.
    ///
    /// It is that of the folder `ALCOVE_PRODUCTS` names (`scripts/test` names the release build),
    /// or the one beside the running test bundle, which `swift test` has just built.
    public static func path(_ name: String) throws(Missing) -> String {
        try existing("\(folder)/\(name)", command: "scripts/test")
    }

    /// The folder that `path` takes programs from.
    public static func folderPath() throws(Missing) -> String {
        try existing(folder, command: "scripts/test")
    }

    /// The path of a program for development, beside the running test bundle.
    public static func toolPath(_ name: String) throws(Missing) -> String {
        try existing("\(bundleFolder)/\(name)", command: "swift build --build-tests")
    }

    /// The path of a program's release build, for tests of its size, speed and system calls.
    public static func releasePath(_ name: String) throws(Missing) -> String {
        try existing(
            PackageRoot.path("build/bin/\(name)"), command: "scripts/build")
    }

    /// The folder of the trimmed base image.
    public static func baseImage() throws(Missing) -> String {
        try existing(PackageRoot.path("build/rootfs/base"), command: "rootfs/build-base")
    }

    private static let folder: String = {
        let environment = ProcessInfo.processInfo.environment
        if let named = environment["ALCOVE_PRODUCTS"], !named.isEmpty {
            return named.hasPrefix("/") ? named : PackageRoot.path(named)
        }
        return bundleFolder
    }()

    private static let bundleFolder: String = {
        let bundle = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        return bundle.deletingLastPathComponent().path
    }()

    private static func existing(_ path: String, command: String) throws(Missing) -> String {
        guard FileManager.default.fileExists(atPath: path) else {
            throw Missing(path: path, command: command)
        }
        return path
    }
}
