/// A file of an archive as libarchive read it. Nothing in it has been checked.
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
