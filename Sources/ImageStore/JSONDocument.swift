internal import JSON

/// A value of a document with the way to it, so that what is wrong with it can be named.
struct JSONDocument {
    let value: JSONValue
    /// As in `index.json: manifests[1].digest`.
    let path: String

    init(_ value: JSONValue, path: String) {
        self.value = value
        self.path = path
    }

    /// Reads a text.
    init(_ bytes: [UInt8], name: String, limits: ImageLimits) throws(ImageError) {
        do throws(JSONError) {
            value = try JSONReader.read(
                bytes, limits: JSONLimits(size: limits.documentBytes, depth: 32))
        } catch {
            throw ImageError(.malformed, "\(name): \(error)")
        }
        path = name
        guard value.object != nil || value.array != nil else { throw wrong("an object or array") }
    }

    private func wrong(_ what: String) -> ImageError {
        ImageError(.malformed, "\(path) is not \(what)")
    }

    /// The member of an object; nothing if it is missing or null.
    func member(_ name: String) throws(ImageError) -> JSONDocument? {
        guard let object = value.object else { throw wrong("an object") }
        guard let member = object[name], member != .null else { return nil }
        return JSONDocument(member, path: path + (path.hasSuffix("json") ? ": " : ".") + name)
    }

    func required(_ name: String) throws(ImageError) -> JSONDocument {
        guard let member = try member(name) else {
            throw ImageError(.malformed, "\(path) has no `\(name)`")
        }
        return member
    }

    func elements() throws(ImageError) -> [JSONDocument] {
        guard let array = value.array else { throw wrong("an array") }
        return array.enumerated().map { JSONDocument($1, path: "\(path)[\($0)]") }
    }

    func members() throws(ImageError) -> [(String, JSONDocument)] {
        guard let object = value.object else { throw wrong("an object") }
        return object.members.map { ($0.key, JSONDocument($0.value, path: path + "." + $0.key)) }
    }

    func text() throws(ImageError) -> String {
        guard let text = value.string else { throw wrong("a text") }
        return text
    }

    func text(_ name: String) throws(ImageError) -> String? {
        try member(name)?.text()
    }

    /// The texts of an array; none if it is missing or null.
    func texts(_ name: String) throws(ImageError) -> [String] {
        guard let member = try member(name) else { return [] }
        var result: [String] = []
        for element in try member.elements() { result.append(try element.text()) }
        return result
    }

    func digest() throws(ImageError) -> Digest {
        let text = try text()
        guard let digest = Digest(text) else {
            let isOther = text.hasPrefix("sha512:")
            throw ImageError(
                isOther ? .unsupported : .malformed,
                "\(path) is \(isOther ? "of SHA-512, which is not supported" : "no digest")")
        }
        return digest
    }

    func count() throws(ImageError) -> UInt64 {
        guard let count = value.uint64 else { throw wrong("a count") }
        return count
    }
}
