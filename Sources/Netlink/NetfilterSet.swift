/// What the keys and values of sets mean, for those who list them. Corresponds to the numbers that
/// `nft` gives to its types.
public struct NetfilterType: Hashable, Sendable {
    let number: UInt32
    let count: UInt32
    /// The lengths of its parts; a part takes whole registers.
    let parts: [UInt32]
    /// Whether it is in the order of bytes of this machine.
    let isNative: Bool

    private init(_ number: UInt32, count: UInt32, native: Bool = false) {
        self.number = number
        self.count = count
        isNative = native
        parts = [count]
    }

    private init(parts: [NetfilterType]) {
        number = parts.reduce(0) { $0 << 6 | $1.number }
        count = parts.reduce(0) { $0 + ($1.count + 3) / 4 * 4 }
        self.parts = parts.map(\.count)
        isNative = false
    }

    public static let address = NetfilterType(7, count: 4)
    public static let protocolNumber = NetfilterType(12, count: 1)
    public static let port = NetfilterType(13, count: 2)
    public static let mark = NetfilterType(19, count: 4, native: true)
    public static let linkIndex = NetfilterType(20, count: 4, native: true)

    /// Values one behind the other, each filled up to a multiple of four bytes.
    public static func joined(_ parts: NetfilterType...) -> NetfilterType {
        NetfilterType(parts: parts)
    }
}

/// A set of the packet filter, or a map when its elements lead to something.
public struct NetfilterSet: Hashable, Sendable {
    public enum Content: Hashable, Sendable {
        case nothing
        case values(NetfilterType)
        case verdicts
        case buckets
    }

    public var table: NetfilterTable
    public var name: String
    public var key: NetfilterType
    public var content: Content
    /// Whether elements are ranges. A key of several parts has a range for each.
    public var hasRanges: Bool
    /// Whether elements can go away by themselves after a time.
    public var hasTimeouts: Bool

    public init(
        _ name: String, of table: NetfilterTable, key: NetfilterType,
        leadingTo content: Content = .nothing, ranges: Bool = false, timeouts: Bool = false
    ) {
        self.name = name
        self.table = table
        self.key = key
        self.content = content
        hasRanges = ranges
        hasTimeouts = timeouts
    }

    /// NFT_SET_INTERVAL, MAP, TIMEOUT, OBJECT, CONCAT
    var flags: UInt32 {
        var flags: UInt32 = hasRanges ? 0x4 : 0
        if hasTimeouts { flags |= 0x10 }
        switch content {
        case .nothing: break
        case .values, .verdicts: flags |= 0x8
        case .buckets: flags |= 0x40
        }
        if hasRanges, key.parts.count > 1 { flags |= 0x80 }
        return flags
    }
}

/// An element of a set.
public struct NetfilterElement: Hashable, Sendable {
    public enum Content: Hashable, Sendable {
        case nothing
        case value([UInt8])
        case verdict(NetfilterVerdict)
        case bucket(name: String)
    }

    public var key: [UInt8]
    /// The last key of a range.
    public var last: [UInt8]?
    public var content: Content
    /// After how many milliseconds it goes away; never, when it is absent.
    public var milliseconds: UInt64?

    public init(
        _ key: [UInt8], through last: [UInt8]? = nil, to content: Content = .nothing,
        lastingMilliseconds milliseconds: UInt64? = nil
    ) {
        self.key = key
        self.last = last
        self.content = content
        self.milliseconds = milliseconds
    }
}

extension NetlinkWriter {
    /// NFTA_SET_ELEM_…
    fileprivate mutating func element(
        _ element: NetfilterElement, of set: NetfilterSet, deleting: Bool
    ) {
        nest(1) {
            $0.data(1, element.key)
            if let last = element.last, set.key.parts.count > 1 { $0.data(10, last) }
            guard !deleting else { return }
            switch element.content {
            case .nothing: break
            case .value(let value): $0.data(2, value)
            case .verdict(let verdict): $0.data(2, verdict)
            case .bucket(let name): $0.attribute(9, name)
            }
            if let milliseconds = element.milliseconds { $0.attribute(4, network: milliseconds) }
        }
        // A range of a key of one part is told by a second element, where what is not in it begins.
        guard set.hasRanges, set.key.parts.count == 1,
            let end = (element.last ?? element.key).successor
        else { return }
        nest(1) {
            $0.data(1, end)
            // NFT_SET_ELEM_INTERVAL_END
            $0.attribute(3, network: UInt32(1))
        }
    }

    fileprivate mutating func elements(
        _ elements: [NetfilterElement], of set: NetfilterSet, deleting: Bool
    ) {
        attribute(2, set.name)
        nest(3) {
            for element in elements { $0.element(element, of: set, deleting: deleting) }
        }
    }

    fileprivate mutating func set(_ set: NetfilterSet, number: UInt32) {
        attribute(2, set.name)
        attribute(3, network: set.flags)
        attribute(4, network: set.key.number)
        attribute(5, network: set.key.count)
        switch set.content {
        case .nothing: break
        case .values(let type):
            attribute(6, network: type.number)
            attribute(7, network: type.count)
        case .verdicts:
            // NFT_DATA_VERDICT; its length is the kernel's own.
            attribute(6, network: UInt32(0xffff_ff00))
        // NFT_OBJECT_LIMIT
        case .buckets: attribute(15, network: UInt32(4))
        }
        if set.hasRanges, set.key.parts.count > 1 {
            // NFTA_SET_DESC: NFTA_SET_DESC_CONCAT: the lengths of the parts
            nest(9) {
                $0.nest(2) {
                    for part in set.key.parts {
                        $0.nest(1) { $0.attribute(1, network: part) }
                    }
                }
            }
        }
        attribute(10, network: number)
        // For `nft`, which would list native numbers with their bytes swapped: NFTNL_UDATA_SET_KEY-
        // and DATABYTEORDER, their length, BYTEORDER_HOST_ENDIAN.
        var hints: [UInt8] = set.key.isNative ? [0, 4, 1, 0, 0, 0] : []
        if case .values(let type) = set.content, type.isNative { hints += [1, 4, 1, 0, 0, 0] }
        if !hints.isEmpty { attribute(13, hints) }
    }
}

extension [UInt8] {
    /// The number one higher, in the order of the network. Nothing behind the highest.
    fileprivate var successor: [UInt8]? {
        var bytes = self
        for index in bytes.indices.reversed() {
            bytes[index] &+= 1
            if bytes[index] != 0 { return bytes }
        }
        return nil
    }
}

extension NetfilterTransaction {
    public mutating func addSet(_ set: NetfilterSet) {
        let number = UInt32(count + 1)
        add(NetfilterMessage.newSet, .create, "add set", set.name, of: set.table) {
            $0.set(set, number: number)
        }
    }

    public mutating func deleteSet(_ set: NetfilterSet) {
        add(NetfilterMessage.deleteSet, [], "delete set", set.name, of: set.table) {
            $0.attribute(2, set.name)
        }
    }

    /// One list holds so many elements that it stays within what an attribute can hold.
    private static let elementsAtOnce = 500

    /// Adds elements. One that is there already with another content is an error.
    public mutating func addElements(_ elements: [NetfilterElement], to set: NetfilterSet) {
        change(NetfilterMessage.newElement, .create, "add element", elements, of: set)
    }

    /// Takes elements away. One that is not there is an error.
    public mutating func deleteElements(_ elements: [NetfilterElement], of set: NetfilterSet) {
        change(NetfilterMessage.deleteElement, [], "delete element", elements, of: set)
    }

    private mutating func change(
        _ type: UInt16, _ flags: NetlinkFlags, _ action: StaticString,
        _ elements: [NetfilterElement], of set: NetfilterSet
    ) {
        var rest = elements[...]
        while !rest.isEmpty {
            let part = Array(rest.prefix(Self.elementsAtOnce))
            rest = rest.dropFirst(part.count)
            add(type, flags, action, set.name, of: set.table) {
                $0.elements(part, of: set, deleting: type == NetfilterMessage.deleteElement)
            }
        }
    }

    /// Takes all elements away.
    public mutating func clearSet(_ set: NetfilterSet) {
        add(NetfilterMessage.deleteElement, [], "clear set", set.name, of: set.table) {
            $0.attribute(2, set.name)
        }
    }
}
