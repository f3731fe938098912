/// The numbers at the start of a kernel's release, such as 5.14 of `5.14.0-427.el9.x86_64`.
public struct KernelRelease: Hashable, Sendable {
    public let major: Int
    public let minor: Int

    public init(_ major: Int, _ minor: Int) {
        self.major = major
        self.minor = minor
    }

    /// Nothing for a text that does not begin with two numbers.
    public init?(_ text: String) {
        let parts = text.split(separator: ".", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count >= 2, let major = Self.number(parts[0], wholly: true),
            let minor = Self.number(parts[1], wholly: false)
        else { return nil }
        self.init(major, minor)
    }

    private static func number(_ text: Substring, wholly: Bool) -> Int? {
        let digits = text.utf8.prefix { (0x30...0x39).contains($0) }
        guard digits.count <= 4, !wholly || digits.count == text.utf8.count else { return nil }
        return Int(String(decoding: digits, as: UTF8.self))
    }
}

extension KernelRelease: Comparable {
    public static func < (left: KernelRelease, right: KernelRelease) -> Bool {
        (left.major, left.minor) < (right.major, right.minor)
    }
}

extension KernelRelease: CustomStringConvertible {
    public var description: String { "\(major).\(minor)" }
}

/// Files of `/proc` that list names.
enum ProcText {
    /// The names in `/proc/filesystems`: the last word of each line.
    static func fileSystems(_ text: String) -> Set<String> {
        Set(
            text.split { $0 == "\n" || $0 == "\r\n" }.compactMap { line in
                line.split { $0 == "\t" || $0 == " " }.last.map(String.init)
            })
    }

    /// Words with blanks between.
    static func words(_ text: String) -> Set<String> {
        Set(text.split { $0.isWhitespace }.map(String.init))
    }

    /// The one number of a file.
    static func number(_ text: String) -> UInt64? {
        UInt64(text.prefix { !$0.isWhitespace })
    }
}
