import Foundation
import JSON
import TestSupport

@testable import ImageStore

/// A directory of a test's own, with a store, images made by hand, and tools run beside them.
final class ImageFixture {
    let path: String
    var storePath: String { path + "/store" }

    init() throws {
        path = NSTemporaryDirectory() + "alcove-images-" + UUID().uuidString
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    func store(_ change: (inout ImageStore.Options) -> Void = { _ in }) throws -> ImageStore {
        var options = ImageStore.Options()
        change(&options)
        return try ImageStore(storePath, options: options)
    }

    func write(_ bytes: [UInt8], to name: String) throws {
        let file = URL(fileURLWithPath: "\(path)/\(name)")
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: file)
    }

    func read(_ name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(fileURLWithPath: "\(path)/\(name)")))
    }

    /// Runs a script of bash in the directory; its failure is the test's.
    @discardableResult
    func shell(_ script: String, timeout: Duration = .seconds(120)) throws -> String {
        let result = try run(
            "bash", arguments: ["-euo", "pipefail", "-c", script], directory: path,
            timeout: timeout)
        guard result.succeeded else { throw ShellFailure(script: script, result: "\(result)") }
        return result.output
    }

    /// The same in a mount namespace of its own.
    @discardableResult
    func shellWithMounts(_ script: String) throws -> String {
        try write(Array(script.utf8), to: "script")
        return try shell("unshare --mount --propagation private bash -euo pipefail script")
    }

    struct ShellFailure: Error {
        let script: String
        let result: String
    }

    enum Packing: String, CaseIterable {
        case plain = ""
        case gzip = "+gzip"
        case zstd = "+zstd"
    }

    func pack(_ archive: [UInt8], _ packing: Packing) throws -> [UInt8] {
        let name = UUID().uuidString
        try write(archive, to: name)
        switch packing {
        case .plain: return archive
        case .gzip: try shell("gzip --no-name \(name)")
        case .zstd: try shell("zstd --quiet --rm \(name) -o \(name).gz")
        }
        return try read(name + ".gz")
    }

    /// What a layout by hand may say wrongly.
    struct Lies {
        var diffID: Digest?
        var blob: Digest?
        var bytes: Int?
        var config: (inout JSONObject) -> Void = { _ in }
        var manifest: (inout JSONObject) -> Void = { _ in }
        var index: (inout JSONObject) -> Void = { _ in }
    }

    /// Writes an OCI layout with one image of these layers, and gives its path.
    @discardableResult
    func layout(
        _ layers: [[UInt8]], packing: Packing = .plain, name: String? = nil, lies: Lies = Lies(),
        into folder: String = "layout"
    ) throws -> String {
        var descriptors: [JSONValue] = []
        var diffIDs: [JSONValue] = []
        for layer in layers {
            let blob = try pack(layer, packing)
            let digest = SHA256.digest(of: blob)
            try write(blob, to: "\(folder)/blobs/sha256/\((lies.blob ?? digest).hexadecimal)")
            descriptors.append(
                Self.descriptor(
                    "application/vnd.oci.image.layer.v1.tar" + packing.rawValue,
                    lies.blob ?? digest, lies.bytes ?? blob.count))
            diffIDs.append(.string("\(lies.diffID ?? SHA256.digest(of: layer))"))
        }
        var config = JSONObject()
        config["architecture"] = .string(Platform.ofThisNode.architecture)
        config["os"] = "linux"
        config["config"] = [
            "Entrypoint": ["/bin/app"], "Cmd": ["--flag"], "Env": ["PATH=/bin", "A=b=c"],
            "WorkingDir": "/srv", "User": "1000:100", "StopSignal": "SIGINT",
        ]
        config["rootfs"] = ["type": "layers", "diff_ids": .array(diffIDs)]
        lies.config(&config)
        let configuration = try writeBlob(.object(config), into: folder)
        var manifest = JSONObject()
        manifest["schemaVersion"] = 2
        manifest["config"] = Self.descriptor(
            "application/vnd.oci.image.config.v1+json", configuration.digest, configuration.count)
        manifest["layers"] = .array(descriptors)
        lies.manifest(&manifest)
        let written = try writeBlob(.object(manifest), into: folder)
        var entry = Self.descriptor(
            "application/vnd.oci.image.manifest.v1+json", written.digest, written.count)
        if let name, var object = entry.object {
            object["annotations"] = ["org.opencontainers.image.ref.name": .string(name)]
            entry = .object(object)
        }
        var index = JSONObject()
        index["schemaVersion"] = 2
        index["manifests"] = [entry]
        lies.index(&index)
        try write(Array(JSONWriter.text(.object(index)).utf8), to: "\(folder)/index.json")
        try write(
            Array(#"{"imageLayoutVersion":"1.0.0"}"#.utf8), to: "\(folder)/oci-layout")
        return "\(path)/\(folder)"
    }

    func writeBlob(
        _ value: JSONValue, into folder: String
    ) throws -> (digest: Digest, count: Int) {
        let bytes = Array(JSONWriter.text(value).utf8)
        let digest = SHA256.digest(of: bytes)
        try write(bytes, to: "\(folder)/blobs/sha256/\(digest.hexadecimal)")
        return (digest, bytes.count)
    }

    /// The files of a layout with one image: index, manifest and configuration.
    func documents(of folder: String) throws -> [String] {
        let blobs = "\(folder)/blobs/sha256/"
        let index = try JSONReader.read(read("\(folder)/index.json"))
        guard let manifest = index["manifests"]?.array?.first?["digest"]?.string,
            let config = try JSONReader.read(read(blobs + manifest.dropFirst(7)))["config"]?[
                "digest"]?.string
        else { throw ShellFailure(script: "documents", result: folder) }
        return ["\(folder)/index.json", blobs + manifest.dropFirst(7), blobs + config.dropFirst(7)]
    }

    /// Gives one of the documents another content, and those that name it its new digest and
    /// length.
    func replaceDocument(
        _ names: [String], _ target: Int, with content: [UInt8], in folder: String
    ) throws {
        var content = content
        var place = target
        while place > 0 {
            let old = try read(names[place])
            let digest = SHA256.digest(of: content).hexadecimal
            try write(content, to: "\(folder)/blobs/sha256/\(digest)")
            var above = String(decoding: try read(names[place - 1]), as: UTF8.self)
            above.replace(String(names[place].suffix(64)), with: digest)
            above.replace(
                "\"size\":\(old.count)", with: "\"size\":\(content.count)", maxReplacements: 1)
            content = Array(above.utf8)
            place -= 1
        }
        try write(content, to: names[0])
    }

    static func descriptor(_ type: String, _ digest: Digest, _ count: Int) -> JSONValue {
        ["mediaType": .string(type), "digest": .string("\(digest)"), "size": JSONValue(count)]
    }

    /// What lies in the store's folder of that name.
    func stored(_ folder: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: "\(storePath)/\(folder)").sorted()
    }

    /// A listing of a tree: kinds, modes, owners, times, links, attributes and content.
    static func listing(_ tree: String) -> String {
        """
        (cd \(tree)
        find . -mindepth 1 -printf '%P|%y|%m|%U|%G|%T@|%l|%s|%n\\n' \
            | awk -F'|' -v OFS='|' '$2 == "d" { $8 = ""; $9 = "" } { print }' | sort
        find . -mindepth 1 \\( -type b -o -type c \\) -exec stat -c '%n %t:%T' {} + | sort
        find . -type f -print0 | sort -z | xargs -0 -r sha256sum
        getfattr --recursive --no-dereference --dump --match=- . | sort)
        """
    }
}

/// What two listings do not share, as much of it as a person reads.
func difference(_ left: String, _ right: String) -> [String] {
    let (mine, theirs) = (left.split(separator: "\n"), right.split(separator: "\n"))
    let lines =
        Set(mine).subtracting(theirs).sorted().map { "- " + $0.prefix(100) }
        + Set(theirs).subtracting(mine).sorted().map { "+ " + $0.prefix(100) }
    return Array(lines.prefix(6))
}
