/// A rule as the kernel lists it.
public struct NetfilterRule: Hashable, Sendable {
    public let chain: String
    public let handle: UInt64
    /// The bytes that it was made with.
    public let label: [UInt8]
    /// What its first counter has seen.
    public let packets: UInt64?
    public let bytes: UInt64?

    /// NFTA_RULE_…
    init?(_ message: NetlinkMessage) {
        guard message.type == NetfilterMessage.newRule,
            let attributes = message.attributes(after: 4), let chain = attributes.text(2),
            let handle = attributes.networkNumber(3, as: UInt64.self)
        else { return nil }
        self.chain = chain
        self.handle = handle
        label = attributes[7].map { Array($0) } ?? []
        let counter = (attributes.nested(4)?.all ?? []).lazy
            .compactMap { NetlinkAttributes($0.content) }
            .first { $0.text(1) == "counter" }?.nested(2)
        bytes = counter?.networkNumber(1)
        packets = counter?.networkNumber(2)
    }
}

extension NetlinkSocket {
    /// The rules of a chain, in their order, with what their counters have seen.
    public func rules(
        of chain: String, in table: NetfilterTable
    ) throws(NetlinkError) -> [NetfilterRule] {
        try list(NetfilterMessage.listRules, "rules", NetfilterRule.init) {
            $0.netfilterHeader(table.family.rawValue)
            $0.attribute(1, table.name)
            $0.attribute(2, chain)
        }
    }

    /// The keys of a set's elements, in any order. Of ranges those of their beginnings and, where
    /// the key has one part, of what follows them.
    public func keys(of set: NetfilterSet) throws(NetlinkError) -> [[UInt8]] {
        let lists: [[[UInt8]]] = try list(
            NetfilterMessage.listElements, "elements", Self.keys
        ) {
            $0.netfilterHeader(set.table.family.rawValue)
            $0.attribute(1, set.table.name)
            $0.attribute(2, set.name)
        }
        return lists.flatMap { $0 }
    }

    /// The elements of a map, with what each leads to.
    public func values(of set: NetfilterSet) throws(NetlinkError) -> [[UInt8]: [UInt8]] {
        var values: [[UInt8]: [UInt8]] = [:]
        let lists: [[(key: [UInt8], value: [UInt8])]] = try list(
            NetfilterMessage.listElements, "elements", Self.values
        ) {
            $0.netfilterHeader(set.table.family.rawValue)
            $0.attribute(1, set.table.name)
            $0.attribute(2, set.name)
        }
        for element in lists.flatMap({ $0 }) { values[element.key] = element.value }
        return values
    }

    /// The same with NFTA_SET_ELEM_DATA.
    private static func values(_ message: NetlinkMessage) -> [(key: [UInt8], value: [UInt8])]? {
        guard message.type == NetfilterMessage.newElement,
            let attributes = message.attributes(after: 4)
        else { return nil }
        return (attributes.nested(3)?.all ?? []).compactMap { element in
            guard let element = NetlinkAttributes(element.content),
                let key = element.nested(1)?[1], let value = element.nested(2)?[1]
            else { return nil }
            return (Array(key), Array(value))
        }
    }

    /// NFTA_SET_ELEM_LIST_ELEMENTS, of each NFTA_SET_ELEM_KEY
    private static func keys(_ message: NetlinkMessage) -> [[UInt8]]? {
        guard message.type == NetfilterMessage.newElement,
            let attributes = message.attributes(after: 4)
        else { return nil }
        guard let elements = attributes.nested(3) else { return [] }
        return elements.all.compactMap {
            NetlinkAttributes($0.content)?.nested(1)?[1].map { Array($0) }
        }
    }
}
