/// Where the files of a layer come from, one after another.
protocol LayerSource {
    /// The next file; nothing at the end.
    func next() throws(ImageError) -> LayerEntry?
    /// Gives the content of that file piece by piece, each with its place in the file; what lies
    /// between is zero.
    func readPieces(
        _ body: (Span<UInt8>, UInt64) throws(ImageError) -> Void
    ) throws(ImageError)
}

/// A file as an archive or a directory tells of it. Nothing in it has been checked.
struct LayerEntry {
    struct Attribute: Hashable {
        let name: [UInt8]
        let value: [UInt8]
    }

    let path: [UInt8]
    /// As in `st_mode`.
    let fileType: UInt32
    let permissions: UInt32
    let user: Int64
    let group: Int64
    let seconds: Int64
    let nanoseconds: Int
    /// Nothing for what has no content.
    let size: Int64?
    let hardLink: [UInt8]?
    let symbolicLink: [UInt8]?
    let deviceMajor: UInt64
    let deviceMinor: UInt64
    var attributes: [Attribute]
    /// The path for a person; it can hold anything.
    var shownPath: String { Self.shown(path) }

    static func shown(_ path: [UInt8]) -> String {
        let text = String(decoding: path.prefix(200), as: UTF8.self)
        var result = "`"
        for scalar in text.unicodeScalars {
            switch scalar.value {
            case 0..<0x20, 0x7F..<0xA0, 0x2028...0x202E, 0x2066...0x2069, 0x200E...0x200F:
                result += "\\u{\(String(scalar.value, radix: 16))}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + (path.count > 200 ? "…`" : "`")
    }
}

extension LayerEntry {
    /// A further name of a file.
    init(path: [UInt8], linkTo target: [UInt8]) {
        self.init(
            path: path, fileType: 0o100_000, permissions: 0, user: 0, group: 0, seconds: 0,
            nanoseconds: 0, size: nil, hardLink: target, symbolicLink: nil, deviceMajor: 0,
            deviceMinor: 0, attributes: [])
    }
}
