/// Writes archives byte by byte, also such as no tool would write.
struct TarBuilder {
    enum Kind: String {
        case file = "0"
        case hardLink = "1"
        case symbolicLink = "2"
        case characterDevice = "3"
        case blockDevice = "4"
        case directory = "5"
        case fifo = "6"
    }

    private(set) var bytes: [UInt8] = []

    mutating func add(
        _ name: String, _ kind: Kind = .file, _ content: String = "", link: String = "",
        mode: Int? = nil, user: Int = 0, group: Int = 0, time: Int = 1_700_000_000,
        device: (Int, Int) = (0, 0), attributes: [(String, [UInt8])] = [],
        records: [(String, [UInt8])] = []
    ) {
        add(
            Array(name.utf8), kind, Array(content.utf8), link: Array(link.utf8), mode: mode,
            user: user, group: group, time: time, device: device, attributes: attributes,
            records: records)
    }

    mutating func add(
        _ name: [UInt8], _ kind: Kind, _ content: [UInt8], link: [UInt8] = [],
        mode: Int? = nil, user: Int = 0, group: Int = 0, time: Int = 1_700_000_000,
        device: (Int, Int) = (0, 0), attributes: [(String, [UInt8])] = [],
        records: [(String, [UInt8])] = []
    ) {
        var extended = records
        if name.count > 100 { extended.append(("path", name)) }
        if link.count > 100 { extended.append(("linkpath", link)) }
        extended += attributes.map { ("SCHILY.xattr." + $0.0, $0.1) }
        if !extended.isEmpty {
            let text = extended.flatMap { Self.record($0.0, $0.1) }
            header(Array("pax".utf8), "x", text.count, [], 0o644, 0, 0, 0, (0, 0))
            append(text)
        }
        let defaultMode = kind == .directory ? 0o755 : 0o644
        header(
            name, kind.rawValue, content.count, link, mode ?? defaultMode, user, group, time,
            device)
        append(content)
    }

    /// Something that is no entry.
    mutating func appendRaw(_ raw: [UInt8]) { bytes += raw }

    /// The whole archive, with its end.
    var archive: [UInt8] { bytes + [UInt8](repeating: 0, count: 1024) }

    /// Adds a header that announces more or less than follows.
    mutating func header(_ name: String, _ kind: Kind, announcing size: Int) {
        header(Array(name.utf8), kind.rawValue, size, [], 0o644, 0, 0, 0, (0, 0))
    }

    private mutating func header(
        _ name: [UInt8], _ kind: String, _ size: Int, _ link: [UInt8], _ mode: Int, _ user: Int,
        _ group: Int, _ time: Int, _ device: (Int, Int)
    ) {
        var header = [UInt8](repeating: 0, count: 512)
        func put(_ field: [UInt8], at place: Int, _ limit: Int) {
            for (index, byte) in field.prefix(limit).enumerated() { header[place + index] = byte }
        }
        func number(_ value: Int, at place: Int, _ width: Int) {
            let digits = String(value, radix: 8)
            let text = String(repeating: "0", count: max(0, width - 1 - digits.count)) + digits
            put(Array(text.utf8), at: place, width - 1)
        }
        put(name, at: 0, 100)
        number(mode, at: 100, 8)
        number(user, at: 108, 8)
        number(group, at: 116, 8)
        number(size, at: 124, 12)
        number(time, at: 136, 12)
        put(Array(kind.utf8), at: 156, 1)
        put(link, at: 157, 100)
        put(Array("ustar".utf8) + [0] + Array("00".utf8), at: 257, 8)
        number(device.0, at: 329, 8)
        number(device.1, at: 337, 8)
        put([UInt8](repeating: 0x20, count: 8), at: 148, 8)
        let sum = header.reduce(0) { $0 + Int($1) }
        number(sum, at: 148, 7)
        header[154] = 0
        header[155] = 0x20
        bytes += header
    }

    private mutating func append(_ content: [UInt8]) {
        bytes += content
        bytes += [UInt8](repeating: 0, count: (512 - content.count % 512) % 512)
    }

    /// `LENGTH KEY=VALUE\n`, where the length counts itself.
    private static func record(_ key: String, _ value: [UInt8]) -> [UInt8] {
        let rest = [0x20] + Array(key.utf8) + [0x3D] + value + [0x0A]
        var length = rest.count
        while String(length).utf8.count + rest.count != length {
            length = String(length).utf8.count + rest.count
        }
        return Array(String(length).utf8) + rest
    }
}
