import Foundation

/// A directory tree of a test's own, which goes with the object.
final class TreeFixture {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.path + "/alcove-tree-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    func makeFolder(_ name: String) throws {
        try FileManager.default.createDirectory(
            atPath: "\(path)/\(name)", withIntermediateDirectories: true)
    }

    func write(_ name: String, _ bytes: [UInt8], permissions: Int = 0o644) throws {
        let file = URL(fileURLWithPath: "\(path)/\(name)")
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: file)
        try FileManager.default.setAttributes(
            [.posixPermissions: permissions], ofItemAtPath: file.path)
    }

    func write(_ name: String, _ text: String, permissions: Int = 0o644) throws {
        try write(name, Array(text.utf8), permissions: permissions)
    }

    func link(_ name: String, to target: String) throws {
        try FileManager.default.createSymbolicLink(
            atPath: "\(path)/\(name)", withDestinationPath: target)
    }
}
