internal import JSON

/// What the store knows of a layer.
public struct LayerRecord: Equatable, Sendable {
    public let diffID: Digest
    /// The size of its file system.
    public let bytes: UInt64
    /// Bytes of all its files.
    public let contentBytes: UInt64
    public let entries: Int
    public let devices: Int
    public let whiteouts: Int
    /// Of the first block of its file, and of the rest.
    let head: Digest
    let body: Digest
    /// Directories that its archive only went through.
    let implicitDirectories: [String]
}

extension LayerRecord {
    init(_ result: LayerImport.Result, of diffID: Digest) {
        self.diffID = diffID
        bytes = result.file.bytes
        contentBytes = result.contentBytes
        entries = result.entries
        devices = result.devices
        whiteouts = result.whiteouts
        head = result.file.head
        body = result.file.body
        implicitDirectories = result.implicitDirectories.compactMap {
            String(validating: $0, as: UTF8.self)
        }
    }

    var json: JSONValue {
        var object = JSONObject()
        object["diffID"] = .string("\(diffID)")
        object["bytes"] = JSONValue(bytes)
        object["contentBytes"] = JSONValue(contentBytes)
        object["entries"] = JSONValue(entries)
        object["devices"] = JSONValue(devices)
        object["whiteouts"] = JSONValue(whiteouts)
        object["head"] = .string("\(head)")
        object["body"] = .string("\(body)")
        object["implicitDirectories"] = JSONValue(implicitDirectories)
        return .object(object)
    }

    init(_ document: JSONDocument) throws(ImageError) {
        diffID = try document.required("diffID").digest()
        bytes = try document.required("bytes").count()
        contentBytes = try document.required("contentBytes").count()
        entries = Int(clamping: try document.required("entries").count())
        devices = Int(clamping: try document.required("devices").count())
        whiteouts = Int(clamping: try document.required("whiteouts").count())
        head = try document.required("head").digest()
        body = try document.required("body").digest()
        implicitDirectories = try document.texts("implicitDirectories")
    }
}

/// What the store knows of an image.
public struct ImageRecord: Equatable, Sendable {
    /// The digest of its configuration: images with it have the same content.
    public let identifier: Digest
    /// Nothing where its archive had no manifest.
    public let manifest: Digest?
    public let platform: Platform
    public let config: ImageConfig
    /// As the image says.
    public let created: String
    public let importedAtNanoseconds: Int64
    /// From the lowest up.
    public let layers: [Digest]
}

extension ImageRecord {
    var json: JSONValue {
        var object = JSONObject()
        object["identifier"] = .string("\(identifier)")
        if let manifest { object["manifest"] = .string("\(manifest)") }
        object["os"] = .string(platform.system)
        object["architecture"] = .string(platform.architecture)
        if let variant = platform.variant { object["variant"] = .string(variant) }
        object["created"] = .string(created)
        object["importedAtNanoseconds"] = JSONValue(importedAtNanoseconds)
        object["config"] = config.json
        object["layers"] = JSONValue(layers.map(\.description))
        return .object(object)
    }

    init(_ document: JSONDocument) throws(ImageError) {
        identifier = try document.required("identifier").digest()
        manifest = try document.member("manifest")?.digest()
        platform = try Platform(document)
        created = try document.text("created") ?? ""
        importedAtNanoseconds = Int64(
            clamping: try document.required("importedAtNanoseconds").count())
        config = try ImageConfig(record: document.required("config"))
        var layers: [Digest] = []
        for element in try document.required("layers").elements() {
            layers.append(try element.digest())
        }
        self.layers = layers
    }
}

/// Names of images, and those that are never evicted.
struct StoreIndex: Equatable {
    var names: [String: Digest] = [:]
    var pinned: Set<Digest> = []

    init() {}

    init(_ document: JSONDocument) throws(ImageError) {
        for (name, value) in try document.required("names").members() {
            names[name] = try value.digest()
        }
        for element in try document.required("pinned").elements() {
            pinned.insert(try element.digest())
        }
    }

    var json: JSONValue {
        var members = JSONObject()
        for (name, digest) in names.sorted(by: { $0.key < $1.key }) {
            members[name] = .string("\(digest)")
        }
        var object = JSONObject()
        object["names"] = .object(members)
        object["pinned"] = JSONValue(pinned.sorted().map(\.description))
        return .object(object)
    }

    func names(of image: Digest) -> [String] {
        names.filter { $0.value == image }.map(\.key).sorted()
    }
}
