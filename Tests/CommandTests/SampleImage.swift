import Foundation

/// A tree with the mount points and one executable, `/bin/app`. It goes with the test.
final class SampleImage {
    private let url = FileManager.default.temporaryDirectory
        .appendingPathComponent("alcove-image-\(UUID().uuidString)")

    var path: String { url.path }

    init() throws {
        for folder in ["proc", "dev", "tmp", "bin"] {
            try FileManager.default.createDirectory(
                at: url.appendingPathComponent(folder), withIntermediateDirectories: true)
        }
        let app = url.appendingPathComponent("bin/app")
        try Data("#!/bin/none\n".utf8).write(to: app)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: app.path)
    }

    deinit { try? FileManager.default.removeItem(at: url) }
}
