import Foundation
import Store

/// A folder of a test's own, gone with the object.
final class Folder {
    let path: String

    init() throws {
        path =
            FileManager.default.temporaryDirectory.appendingPathComponent(
                "store-\(UUID().uuidString.prefix(8))"
            ).path
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: false)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    var database: String { "\(path)/alcove.db" }

    func mode(_ name: String) throws -> Int? {
        let attributes = try FileManager.default.attributesOfItem(atPath: "\(path)/\(name)")
        return attributes[.posixPermissions] as? Int
    }
}

/// A store that checkpoints only when it is asked to.
func openQuietly(_ folder: Folder) throws(StoreError) -> Store {
    var limits = CheckpointLimits()
    limits.inBackground = false
    return try Store.open(directory: folder.path, checkpoints: limits)
}

/// The error of a body that must fail.
func failure(_ body: () throws(StoreError) -> Void) -> StoreError? {
    do throws(StoreError) {
        try body()
        return nil
    } catch {
        return error
    }
}
