/// A name of the domain name system. Upper and lower case are the same.
public struct DomainName: Hashable, Sendable {
    /// The longest, with what its labels' lengths take.
    static let mostBytes = 255

    /// Labels in lower case, each behind its length; without the empty one at the end.
    let labels: [UInt8]

    init(labels: [UInt8]) {
        self.labels = labels
    }

    /// Reads labels of letters, digits, `-` and `_` with points between; a last point is no harm.
    public init?(_ text: some StringProtocol) {
        var bytes: [UInt8] = []
        let text = text.hasSuffix(".") ? text.dropLast() : text[...]
        for label in text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        {
            guard (1...63).contains(label.count) else { return nil }
            bytes.append(UInt8(label.count))
            for byte in label {
                let lower = byte.lowerCase
                switch lower {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                    UInt8(ascii: "-"), UInt8(ascii: "_"):
                    bytes.append(lower)
                default: return nil
                }
            }
        }
        guard bytes.count < Self.mostBytes else { return nil }
        labels = bytes
    }

    /// Whether it is another one with labels before it.
    func isBelow(_ other: DomainName) -> Bool {
        let surplus = labels.count - other.labels.count
        guard surplus > 0, labels[surplus...].elementsEqual(other.labels) else { return false }
        // A label must begin there.
        var start = 0
        while start < surplus { start += 1 + Int(labels[start]) }
        return start == surplus
    }
}

extension DomainName: CustomStringConvertible {
    public var description: String {
        var text = ""
        var start = 0
        while start < labels.count {
            let end = start + 1 + Int(labels[start])
            text += String(decoding: labels[(start + 1)..<end], as: UTF8.self) + "."
            start = end
        }
        return text.isEmpty ? "." : String(text.dropLast())
    }
}

/// Which names a rule applies to.
public enum NamePattern: Hashable, Sendable {
    case exactly(DomainName)
    /// Every name with a label or more before this one, which itself is none of them.
    case below(DomainName)
    case every

    /// Reads a name, a name behind `*.`, or `*`.
    public init?(_ text: String) {
        if text == "*" {
            self = .every
        } else if text.hasPrefix("*.") {
            guard let name = DomainName(text.dropFirst(2)) else { return nil }
            self = .below(name)
        } else {
            guard let name = DomainName(text) else { return nil }
            self = .exactly(name)
        }
    }

    func applies(to name: DomainName) -> Bool {
        switch self {
        case .exactly(let wanted): name == wanted
        case .below(let end): name.isBelow(end)
        case .every: true
        }
    }
}

extension NamePattern: CustomStringConvertible {
    public var description: String {
        switch self {
        case .exactly(let name): name.description
        case .below(let name): "*.\(name)"
        case .every: "*"
        }
    }
}

/// A rule on the names that a sandbox may ask for. Of several the first that applies decides.
public struct NameRule: Hashable, Sendable {
    /// What is allowed is reached for as long as the answer says. What is denied is answered as if
    /// it did not exist.
    public var action: EgressRule.Action
    public var names: NamePattern

    public init(_ action: EgressRule.Action, _ names: NamePattern) {
        self.action = action
        self.names = names
    }
}

extension [NameRule] {
    func action(on name: DomainName) -> EgressRule.Action? {
        first { $0.names.applies(to: name) }?.action
    }

    /// A mark of the flows that these rules have let through: the same after an agent's restart,
    /// another one when they change. Nothing when they let nothing through.
    var mark: UInt32? {
        guard contains(where: { $0.action == .allow }) else { return nil }
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for rule in self {
            let text = (rule.action == .allow ? "+" : "-") + rule.names.description + "\n"
            for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        }
        // Flows without a mark have 0.
        return Swift.max(1, UInt32(truncatingIfNeeded: hash ^ hash >> 32))
    }
}

extension UInt8 {
    /// Of a letter the small one.
    var lowerCase: UInt8 {
        (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(self) ? self | 0x20 : self
    }
}
