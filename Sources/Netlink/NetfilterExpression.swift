/// Where expressions put values and find them. Corresponds to `NFT_REG32_…`: 16 of four bytes each,
/// where a longer value takes those that follow.
public struct NetfilterRegister: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    public static let first = NetfilterRegister(rawValue: 8)
    public static let second = NetfilterRegister(rawValue: 9)
    public static let third = NetfilterRegister(rawValue: 10)
    public static let fourth = NetfilterRegister(rawValue: 11)
}

/// What is known of a packet beside its bytes. Corresponds to `NFT_META_…`. Numbers are in the
/// order of bytes of this machine.
public enum PacketFact: UInt32, Sendable {
    case mark = 3
    case inputIndex = 4
    case outputIndex = 5
    case inputName = 6
    case outputName = 7
    /// The protocol above that of the Internet: one byte.
    case protocolNumber = 16
    case inputGroup = 21
    case outputGroup = 22
}

/// What is known of the flow that a packet belongs to. Corresponds to `NFT_CT_…`.
public enum FlowFact: UInt32, Sendable {
    /// Bits: see `FlowState`.
    case state = 0
    /// 1 for a packet against the direction in which the flow began: one byte.
    case direction = 1
    /// Bits of what was done to it: see `FlowStatus`.
    case status = 2
    case mark = 3
    /// A number that keeps flows with the same addresses apart: two bytes.
    case zone = 17
}

/// Corresponds to `NF_CT_STATE_BIT`.
public struct FlowState: OptionSet, Sendable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    public static let invalid = FlowState(rawValue: 1)
    public static let established = FlowState(rawValue: 2)
    /// It belongs to another flow: an error about it, for one.
    public static let related = FlowState(rawValue: 4)
    public static let new = FlowState(rawValue: 8)
}

/// Corresponds to `IPS_…`.
public struct FlowStatus: OptionSet, Sendable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    /// Its destination was translated.
    public static let destinationTranslated = FlowStatus(rawValue: 0x20)
}

/// The header from whose beginning bytes of a packet are counted.
public enum PacketHeader: UInt32, Sendable {
    case network = 1
    case transport = 2
}

/// Which checksums are corrected when bytes of a packet are changed.
public enum ChecksumRepair: Sendable {
    /// That of the network header, 10 bytes in, and that of TCP or UDP, which covers addresses.
    case addresses
    /// One that stands so many bytes behind the beginning of the header.
    case at(UInt32)
}

/// What becomes of a packet.
public enum NetfilterVerdict: Hashable, Sendable {
    case accept
    case drop
    case jump(chain: String)
    case go(chain: String)
    case giveBack

    /// NF_ACCEPT, NF_DROP, NFT_…
    var code: UInt32 {
        switch self {
        case .drop: 0
        case .accept: 1
        case .jump: UInt32(bitPattern: -3)
        case .go: UInt32(bitPattern: -4)
        case .giveBack: UInt32(bitPattern: -5)
        }
    }

    var chain: String? {
        switch self {
        case .jump(let chain), .go(let chain): chain
        case .accept, .drop, .giveBack: nil
        }
    }
}

/// A bucket that fills at a rate, and from which each packet takes.
public struct TokenBucket: Hashable, Sendable {
    public enum Unit: UInt32, Sendable {
        case packets = 0
        case bytes = 1
    }

    public var unit: Unit
    public var perSecond: UInt64
    /// How much it holds when it is full, at least as much as the largest packet: with offloads a
    /// packet of TCP has up to 64 KiB.
    public var burst: UInt32

    public init(_ unit: Unit, perSecond: UInt64, burst: UInt32) {
        self.unit = unit
        self.perSecond = perSecond
        self.burst = burst
    }
}

/// How two values are compared. Corresponds to `NFT_CMP_…`.
public enum NetfilterComparison: UInt32, Sendable {
    case equal = 0
    case notEqual = 1
}

/// A step of a rule. A step that does not hold ends the rule, and the next rule is tried.
public enum NetfilterExpression: Sendable {
    case load(PacketFact, into: NetfilterRegister = .first)
    case store(PacketFact, from: NetfilterRegister = .first)
    case loadBytes(
        PacketHeader, offset: UInt32, count: UInt32, into: NetfilterRegister = .first)
    case storeBytes(
        PacketHeader, offset: UInt32, count: UInt32, from: NetfilterRegister = .first,
        repairing: ChecksumRepair)
    case loadFlow(FlowFact, into: NetfilterRegister = .first)
    case storeFlow(FlowFact, from: NetfilterRegister = .first)
    case compare(NetfilterComparison, [UInt8], in: NetfilterRegister = .first)
    /// Both ends are in it.
    case within([UInt8], [UInt8], in: NetfilterRegister = .first)
    case mask([UInt8], in: NetfilterRegister = .first)
    case isIn(set: String, from: NetfilterRegister = .first, not: Bool = false)
    case look(map: String, from: NetfilterRegister = .first, into: NetfilterRegister = .first)
    /// Looks a verdict up, and obeys it.
    case obey(map: String, from: NetfilterRegister = .first)
    case value([UInt8], into: NetfilterRegister = .first)
    case verdict(NetfilterVerdict)
    case counter
    /// Holds while the bucket is empty.
    case exceeds(TokenBucket)
    /// Looks a named object up, and applies it.
    case apply(map: String, from: NetfilterRegister = .first)
    /// What kind of route the destination has: 2, in the order of this machine, for an address of
    /// this machine's own. Corresponds to `RTN_…`.
    case loadDestinationKind(into: NetfilterRegister = .first)
    case translateSource(to: NetfilterRegister = .first)
    case translateDestination(to: NetfilterRegister = .first, port: NetfilterRegister? = nil)
    /// The source becomes the address of the link by which the packet leaves.
    case masquerade

    var name: String {
        switch self {
        case .load, .store: "meta"
        case .loadBytes, .storeBytes: "payload"
        case .loadFlow, .storeFlow: "ct"
        case .compare: "cmp"
        case .within: "range"
        case .mask: "bitwise"
        case .isIn, .look, .obey: "lookup"
        case .value, .verdict: "immediate"
        case .counter: "counter"
        case .exceeds: "limit"
        case .apply: "objref"
        case .loadDestinationKind: "fib"
        case .translateSource, .translateDestination: "nat"
        case .masquerade: "masq"
        }
    }
}

extension NetlinkWriter {
    mutating func expressions(_ expressions: [NetfilterExpression]) {
        for expression in expressions {
            // NFTA_LIST_ELEM: NFTA_EXPR_NAME, NFTA_EXPR_DATA
            nest(1) {
                $0.attribute(1, expression.name)
                $0.nest(2) { $0.content(expression) }
            }
        }
    }

    private mutating func register(_ type: UInt16, _ register: NetfilterRegister) {
        attribute(type, network: register.rawValue)
    }

    private mutating func content(_ expression: NetfilterExpression) {
        switch expression {
        case .load(let fact, let into):
            register(1, into)
            attribute(2, network: fact.rawValue)
        case .store(let fact, let from):
            attribute(2, network: fact.rawValue)
            register(3, from)
        case .loadFlow(let fact, let into):
            register(1, into)
            attribute(2, network: fact.rawValue)
        case .storeFlow(let fact, let from):
            attribute(2, network: fact.rawValue)
            register(4, from)
        case .loadBytes(let header, let offset, let count, let into):
            register(1, into)
            place(header, offset, count)
        case .storeBytes(let header, let offset, let count, let from, let repair):
            place(header, offset, count)
            register(5, from)
            self.repair(repair)
        case .compare(let comparison, let value, let from):
            register(1, from)
            attribute(2, network: comparison.rawValue)
            data(3, value)
        case .within(let low, let high, let from):
            register(1, from)
            attribute(2, network: UInt32(0))
            data(3, low)
            data(4, high)
        case .mask(let mask, let place):
            register(1, place)
            register(2, place)
            attribute(3, network: UInt32(mask.count))
            data(4, mask)
            data(5, mask.map { _ in 0 })
        default: action(expression)
        }
    }

    private mutating func action(_ expression: NetfilterExpression) {
        switch expression {
        case .isIn(let set, let from, let not):
            attribute(1, set)
            register(2, from)
            if not { attribute(5, network: UInt32(1)) }
        case .look(let map, let from, let into):
            attribute(1, map)
            register(2, from)
            register(3, into)
        case .obey(let map, let from):
            attribute(1, map)
            register(2, from)
            attribute(3, network: UInt32(0))
        case .value(let value, let into):
            register(1, into)
            data(2, value)
        case .verdict(let verdict):
            attribute(1, network: UInt32(0))
            data(2, verdict)
        case .exceeds(let bucket): limit(bucket)
        case .apply(let map, let from):
            register(3, from)
            attribute(4, map)
        case .loadDestinationKind(let into):
            register(1, into)
            // NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_DADDR
            attribute(2, network: UInt32(3))
            attribute(3, network: UInt32(2))
        case .translateSource(let address):
            translation(kind: 0, address, port: nil)
        case .translateDestination(let address, let port):
            translation(kind: 1, address, port: port)
        default: break
        }
    }

    private mutating func place(_ header: PacketHeader, _ offset: UInt32, _ count: UInt32) {
        attribute(2, network: header.rawValue)
        attribute(3, network: offset)
        attribute(4, network: count)
    }

    private mutating func repair(_ repair: ChecksumRepair) {
        // NFT_PAYLOAD_CSUM_INET; NFT_PAYLOAD_L4CSUM_PSEUDOHDR
        attribute(6, network: UInt32(1))
        switch repair {
        case .addresses:
            attribute(7, network: UInt32(10))
            attribute(8, network: UInt32(1))
        case .at(let offset):
            attribute(7, network: offset)
        }
    }

    private mutating func translation(
        kind: UInt32, _ address: NetfilterRegister, port: NetfilterRegister?
    ) {
        attribute(1, network: kind)
        attribute(2, network: UInt32(AddressFamily.ipv4))
        register(3, address)
        if let port { register(5, port) }
    }

    /// NFTA_LIMIT_…, with NFT_LIMIT_F_INV: it holds for what is beyond.
    mutating func limit(_ bucket: TokenBucket) {
        attribute(1, network: bucket.perSecond)
        attribute(2, network: UInt64(1))
        attribute(3, network: bucket.burst)
        attribute(4, network: bucket.unit.rawValue)
        attribute(5, network: UInt32(1))
    }

    /// NFTA_DATA_VALUE
    mutating func data(_ type: UInt16, _ value: [UInt8]) {
        nest(type) { $0.attribute(1, value) }
    }

    /// NFTA_DATA_VERDICT: NFTA_VERDICT_CODE, NFTA_VERDICT_CHAIN
    mutating func data(_ type: UInt16, _ verdict: NetfilterVerdict) {
        nest(type) {
            $0.nest(2) {
                $0.attribute(1, network: verdict.code)
                if let chain = verdict.chain { $0.attribute(2, chain) }
            }
        }
    }
}
