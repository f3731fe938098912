/// A table of the packet filter. All its content goes with it.
public struct NetfilterTable: Hashable, Sendable {
    /// What its rules see. Corresponds to `NFPROTO_…`.
    public enum Family: UInt8, Sendable {
        /// Version 4 of the Internet Protocol.
        case internet = 2
        /// Questions after link addresses, and answers.
        case addressResolution = 3
    }

    public let name: String
    public let family: Family

    public init(_ name: String, _ family: Family = .internet) {
        self.name = name
        self.family = family
    }
}

/// Where and when the rules of a chain are asked.
public struct NetfilterHook: Hashable, Sendable {
    /// Corresponds to `NF_INET_…` and `NF_ARP_…`.
    public enum Place: Sendable {
        case prerouting, input, forward, output, postrouting
        /// The only one of ``NetfilterTable/Family/addressResolution``: what has arrived.
        case resolution

        var number: UInt32 {
            switch self {
            case .prerouting, .resolution: 0
            case .input: 1
            case .forward: 2
            case .output: 3
            case .postrouting: 4
            }
        }
    }

    public enum Kind: String, Sendable {
        case filter
        case nat
    }

    public var kind: Kind
    public var place: Place
    /// Those with lower numbers come first; flows are looked up at -200.
    public var priority: Int32
    /// What becomes of packets on which no rule decides.
    public var dropsByDefault: Bool

    public init(
        _ kind: Kind, _ place: Place, priority: Int32, dropsByDefault: Bool = false
    ) {
        self.kind = kind
        self.place = place
        self.priority = priority
        self.dropsByDefault = dropsByDefault
    }
}

/// Corresponds to `NFT_MSG_…`, of the subsystem `NFNL_SUBSYS_NFTABLES`.
enum NetfilterMessage {
    static let newTable: UInt16 = 0xa00
    static let deleteTable: UInt16 = 0xa02
    static let newChain: UInt16 = 0xa03
    static let deleteChain: UInt16 = 0xa05
    static let newRule: UInt16 = 0xa06
    static let listRules: UInt16 = 0xa07
    static let deleteRule: UInt16 = 0xa08
    static let newSet: UInt16 = 0xa09
    static let deleteSet: UInt16 = 0xa0b
    static let newElement: UInt16 = 0xa0c
    static let listElements: UInt16 = 0xa0d
    static let deleteElement: UInt16 = 0xa0e
    static let newObject: UInt16 = 0xa12
    static let deleteObject: UInt16 = 0xa14
    /// NFNL_MSG_BATCH_BEGIN and its end
    static let begin: UInt16 = 0x10
    static let end: UInt16 = 0x11
}

extension NetlinkWriter {
    /// struct nfgenmsg: a family, version 0, and the subsystem of what is begun or ended.
    mutating func netfilterHeader(_ family: UInt8, subsystem: UInt16 = 0) {
        put(family)
        put(UInt8(0))
        put(subsystem.byteSwapped)
    }
}

/// Changes of the packet filter which are made together or not at all. Packets see the state before
/// or the one after, none between.
public struct NetfilterTransaction: Sendable {
    private(set) var batch = NetlinkBatch()

    public init() {
        frame(NetfilterMessage.begin)
    }

    public var isEmpty: Bool { batch.count == 1 }
    /// How many changes there are in it.
    public var count: Int { batch.count - 1 }

    /// With its end.
    var whole: NetlinkBatch {
        var whole = self
        whole.frame(NetfilterMessage.end)
        return whole.batch
    }

    private mutating func frame(_ type: UInt16) {
        batch.add(type, [], "change", "packet filter") {
            $0.netfilterHeader(0, subsystem: 10)
        }
    }

    mutating func add(
        _ type: UInt16, _ flags: NetlinkFlags, _ action: StaticString, _ subject: String,
        of table: NetfilterTable, _ body: (inout NetlinkWriter) -> Void
    ) {
        batch.add(type, flags, action, subject) {
            $0.netfilterHeader(table.family.rawValue)
            $0.attribute(1, table.name)
            body(&$0)
        }
    }

    /// Makes a table, or takes the one that is there.
    public mutating func addTable(_ table: NetfilterTable) {
        add(NetfilterMessage.newTable, .create, "add table", table.name, of: table) { _ in
        }
    }

    /// Makes a table that is empty, whatever there was.
    public mutating func replaceTable(_ table: NetfilterTable) {
        removeTable(table)
        addTable(table)
    }

    /// Takes a table away, if it is there.
    public mutating func removeTable(_ table: NetfilterTable) {
        addTable(table)
        deleteTable(table)
    }

    public mutating func deleteTable(_ table: NetfilterTable) {
        add(NetfilterMessage.deleteTable, [], "delete table", table.name, of: table) { _ in
        }
    }

    /// Makes a chain, which rules are asked at a hook, or that other rules lead to.
    public mutating func addChain(
        _ name: String, of table: NetfilterTable, at hook: NetfilterHook? = nil
    ) {
        add(NetfilterMessage.newChain, .create, "add chain", name, of: table) {
            $0.attribute(3, name)
            guard let hook else { return }
            $0.nest(4) {
                $0.attribute(1, network: hook.place.number)
                $0.attribute(2, network: UInt32(bitPattern: hook.priority))
            }
            $0.attribute(5, network: UInt32(hook.dropsByDefault ? 0 : 1))
            $0.attribute(7, hook.kind.rawValue)
        }
    }

    /// Takes a chain away that nothing leads to any more.
    public mutating func deleteChain(_ name: String, of table: NetfilterTable) {
        add(NetfilterMessage.deleteChain, [], "delete chain", name, of: table) {
            $0.attribute(3, name)
        }
    }

    /// Adds a rule behind the others of a chain.
    ///
    /// - Parameter label: bytes that the rule is known by when it is listed.
    public mutating func addRule(
        _ expressions: [NetfilterExpression], to chain: String, of table: NetfilterTable,
        label: [UInt8] = []
    ) {
        add(NetfilterMessage.newRule, [.create, .append], "add rule", chain, of: table) {
            $0.attribute(2, chain)
            $0.nest(4) { $0.expressions(expressions) }
            if !label.isEmpty { $0.attribute(7, label) }
        }
    }

    /// Takes all rules of a chain away.
    public mutating func clearChain(_ chain: String, of table: NetfilterTable) {
        add(NetfilterMessage.deleteRule, [], "clear chain", chain, of: table) {
            $0.attribute(2, chain)
        }
    }

    /// Makes a bucket that several rules and packets share, by its name.
    public mutating func addBucket(
        _ bucket: TokenBucket, named name: String, of table: NetfilterTable
    ) {
        add(NetfilterMessage.newObject, [.create, .exclusive], "add bucket", name, of: table) {
            $0.attribute(2, name)
            // NFT_OBJECT_LIMIT
            $0.attribute(3, network: UInt32(4))
            $0.nest(4) { $0.limit(bucket) }
        }
    }

    public mutating func deleteBucket(named name: String, of table: NetfilterTable) {
        add(NetfilterMessage.deleteObject, [], "delete bucket", name, of: table) {
            $0.attribute(2, name)
            $0.attribute(3, network: UInt32(4))
        }
    }
}

extension NetlinkSocket {
    /// Makes changes of the packet filter, all of them or none. The first that fails is thrown.
    public func perform(_ transaction: NetfilterTransaction) throws(NetlinkError) {
        guard !transaction.isEmpty else { return }
        // What the kernel says of the whole stands at its beginning, and has no words of its own.
        let failures = try failures(of: transaction.whole, asTransaction: true)
        if let first = failures.first(where: { $0.index > 0 }) ?? failures.first {
            throw first.error
        }
    }
}
