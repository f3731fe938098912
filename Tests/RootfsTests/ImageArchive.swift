import Foundation
import TestSupport
import Testing

/// An OCI archive, opened by tar and checked by sha256sum: nothing of what wrote it has a part.
struct ImageArchive {
    struct Descriptor: Decodable, Equatable {
        let mediaType: String
        let digest: String
        let size: Int
        let annotations: [String: String]?
    }

    struct Index: Decodable {
        let schemaVersion: Int
        let manifests: [Descriptor]
    }

    struct Manifest: Decodable {
        let schemaVersion: Int
        let mediaType: String
        let config: Descriptor
        let layers: [Descriptor]
    }

    struct Image: Decodable {
        struct Configuration: Decodable {
            let entrypoint: [String]?
            let cmd: [String]?
            let env: [String]?
            let workingDir: String?
            let user: String?
            let stopSignal: String?
            let labels: [String: String]?

            enum CodingKeys: String, CodingKey {
                case entrypoint = "Entrypoint"
                case cmd = "Cmd"
                case env = "Env"
                case workingDir = "WorkingDir"
                case user = "User"
                case stopSignal = "StopSignal"
                case labels = "Labels"
            }
        }

        struct RootFileSystem: Decodable {
            let type: String
            let diffIdentities: [String]

            enum CodingKeys: String, CodingKey {
                case type
                case diffIdentities = "diff_ids"
            }
        }

        struct Step: Decodable {
            let created: String
            let createdBy: String

            enum CodingKeys: String, CodingKey {
                case created
                case createdBy = "created_by"
            }
        }

        let created: String
        let architecture: String
        let os: String
        let config: Configuration
        let rootfs: RootFileSystem
        let history: [Step]
    }

    let folder: String
    let index: Index
    let manifest: Manifest
    let image: Image

    /// Opens an archive into a folder, and fails where it contradicts itself.
    init(_ archive: String, in folder: String) throws {
        self.folder = folder
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        try succeed("tar", ["-xf", archive, "-C", folder])
        #expect(try Self.text("\(folder)/oci-layout") == #"{"imageLayoutVersion":"1.0.0"}"# + "\n")
        index = try Self.decode("\(folder)/index.json")
        let only = try #require(index.manifests.first)
        manifest = try Self.decode(Self.blob(only.digest, in: folder))
        image = try Self.decode(Self.blob(manifest.config.digest, in: folder))
        try checkBlobs()
    }

    /// Every blob is what its name says, described by its size, and there is none beside.
    private func checkBlobs() throws {
        #expect(index.schemaVersion == 2 && index.manifests.count == 1)
        #expect(manifest.schemaVersion == 2)
        let described = index.manifests + [manifest.config] + manifest.layers
        for descriptor in described {
            let path = Self.blob(descriptor.digest, in: folder)
            #expect(try digest("sha256sum < \(path)") == descriptor.digest)
            #expect(try Data(contentsOf: URL(fileURLWithPath: path)).count == descriptor.size)
        }
        let present = try FileManager.default.contentsOfDirectory(
            atPath: "\(folder)/blobs/sha256")
        #expect(Set(present.map { "sha256:\($0)" }) == Set(described.map(\.digest)))
        #expect(image.rootfs.type == "layers" && image.os == "linux")
        #expect(image.rootfs.diffIdentities.count == manifest.layers.count)
        #expect(image.history.count == manifest.layers.count)
        for (layer, identity) in zip(manifest.layers, image.rootfs.diffIdentities) {
            #expect(layer.mediaType == "application/vnd.oci.image.layer.v1.tar+gzip")
            let path = Self.blob(layer.digest, in: folder)
            #expect(try digest("gzip -dc < \(path) | sha256sum") == identity)
        }
    }

    /// What tar says of a layer: a line for each entry.
    func listing(_ layer: Int) throws -> [String] {
        let path = Self.blob(manifest.layers[layer].digest, in: folder)
        return try succeed(
            "tar", ["-tvzf", path, "--numeric-owner", "--full-time", "--utc"]
        ).split(separator: "\n").map(String.init)
    }

    func names(_ layer: Int) throws -> [String] {
        let path = Self.blob(manifest.layers[layer].digest, in: folder)
        return try succeed("tar", ["-tzf", path]).split(separator: "\n").map(String.init)
    }

    /// Unpacks the layers over each other, whiteouts left aside.
    func unpack(into tree: String) throws {
        try FileManager.default.createDirectory(atPath: tree, withIntermediateDirectories: true)
        for layer in manifest.layers {
            let path = Self.blob(layer.digest, in: folder)
            try succeed("tar", ["-xpzf", path, "-C", tree])
        }
    }

    private func digest(_ command: String) throws -> String {
        "sha256:" + (try succeed("bash", ["-c", command])).prefix(64)
    }

    private static func blob(_ digest: String, in folder: String) -> String {
        "\(folder)/blobs/\(digest.replacingOccurrences(of: ":", with: "/"))"
    }

    private static func text(_ path: String) throws -> String {
        try String(contentsOfFile: path, encoding: .utf8)
    }

    private static func decode<Document: Decodable>(_ path: String) throws -> Document {
        try JSONDecoder().decode(
            Document.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
    }
}

/// Runs a program that must succeed, and gives its output.
@discardableResult
func succeed(
    _ program: String, _ arguments: [String], timeout: Duration = .seconds(60)
) throws -> String {
    let result = try run(program, arguments: arguments, timeout: timeout)
    try #require(result.succeeded, "\(program) \(arguments): \(result)")
    return result.output
}

/// A folder that goes with the test.
final class Workplace {
    let path: String

    init() throws {
        path =
            FileManager.default.temporaryDirectory
            .appendingPathComponent("alcove-rootfs-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func callAsFunction(_ name: String) -> String { "\(path)/\(name)" }

    /// Makes something in it, by the shell.
    func make(_ script: String) throws {
        try succeed("bash", ["-euc", "umask 022; cd \"$0\"; \(script)", path])
    }

    var names: [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
    }
}
