public import LinuxKernel
public import Netlink

/// A place for a sandbox in the router: a link, an address, and everything that is kept by them.
public struct SlotIndex: RawRepresentable, Hashable, Comparable, Sendable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    public static func < (left: SlotIndex, right: SlotIndex) -> Bool {
        left.rawValue < right.rawValue
    }

    /// The name of its link in the router.
    public var linkName: String { "s\(rawValue)" }

    /// Reads the name of a link.
    init?(linkName: String) {
        guard linkName.hasPrefix("s"), let number = UInt32(linkName.dropFirst()),
            linkName == "s\(number)"
        else { return nil }
        rawValue = number
    }

    /// The number of its link in the router, which follows from its own: whatever concerns a slot
    /// can be written before the link is there. The first thousand are the router's own.
    var link: InterfaceIndex { InterfaceIndex(rawValue: 1000 + rawValue) }

    /// The name of the chain of its rules.
    var chain: String { "slot-\(rawValue)" }
}

extension SlotIndex: CustomStringConvertible {
    public var description: String { "slot \(rawValue)" }
}

/// What is at the other end of a slot's link.
public enum SlotKind: Hashable, Sendable {
    /// A namespace with the link in it, for a process sandbox.
    case namespace
    /// A descriptor for frames, for the monitor of a microVM.
    case tap
}

/// A slot that is ready for a sandbox. Once the sandbox has joined its namespace or has its
/// descriptor, nobody needs this any more.
public final class SandboxSlot: Sendable {
    public let index: SlotIndex
    /// By which the router, its filter and the network beyond know it.
    public let address: IPv4Address
    /// Kept by who is in it, after this is gone.
    public let namespace: NetworkNamespace?
    private let tap: TapDevice?

    init(
        _ index: SlotIndex, _ address: IPv4Address, namespace: NetworkNamespace?,
        tap: consuming TapDevice? = nil
    ) {
        self.index = index
        self.address = address
        self.namespace = namespace
        self.tap = tap
    }

    /// The number of a microVM's descriptor, or -1. The link is there as long as somebody has it.
    public var tapDescriptor: Int32 {
        switch tap {
        case .some(let tap): tap.descriptor.rawValue
        case .none: -1
        }
    }
}

/// What a rule of a sandbox applies to.
public enum TransportProtocol: UInt8, Hashable, Sendable {
    case icmp = 1
    case tcp = 6
    case udp = 17
}

/// A rule on what a sandbox may reach. Of several the first that applies decides.
public struct EgressRule: Hashable, Sendable {
    public enum Action: Hashable, Sendable {
        case allow
        case deny
    }

    public var action: Action
    public var destination: IPv4Prefix
    /// Every one, when it is absent.
    public var transport: TransportProtocol?
    /// Every one, when they are absent. For TCP and UDP.
    public var ports: ClosedRange<UInt16>?

    public init(
        _ action: Action, _ destination: IPv4Prefix = .everything,
        transport: TransportProtocol? = nil, ports: ClosedRange<UInt16>? = nil
    ) {
        self.action = action
        self.destination = destination
        self.transport = transport
        self.ports = ports
    }

    var expressions: [NetfilterExpression] {
        var expressions: [NetfilterExpression] = []
        if destination.length > 0 {
            expressions += .destination(within: destination)
        }
        if let transport { expressions += .transport(is: transport) }
        if let ports { expressions += .destinationPort(within: ports) }
        return expressions + [.counter, .verdict(action == .allow ? .accept : .drop)]
    }
}

/// How much a sandbox may send and receive. What is beyond is dropped.
public struct SlotLimits: Hashable, Sendable {

    public var outwardBytes: TokenBucket?
    public var outwardPackets: TokenBucket?
    public var inwardBytes: TokenBucket?
    public var inwardPackets: TokenBucket?
    /// How many flows it may begin: those of all sandboxes share one table.
    public var newFlows: TokenBucket?

    public init() {}

    /// In the order of `RouterRules.bucketMaps`.
    var all: [TokenBucket?] {
        [outwardBytes, outwardPackets, inwardBytes, inwardPackets, newFlows]
    }
}

/// All that a slot can be given.
public struct SlotSettings: Hashable, Sendable {
    /// The most tenants' networks that one sandbox is attached to.
    public static let mostVPCs = 4
    /// The most rules of one sandbox.
    public static let mostRules = 256

    /// Whether it reaches the world by way of the node.
    public var isPublic: Bool
    public var vpcs: Set<VPCNumber>
    public var rules: [EgressRule]
    public var limits: SlotLimits
    /// Which names it may ask for. Those that no rule applies to are answered if it reaches the
    /// world, and refused else.
    public var names: [NameRule]
    /// Ports of the node's that lead to it.
    public var ports: Set<PublishedPort>
    /// Addresses in the tunnels of its networks by which it is reached from there. Nobody else has
    /// one of them. None: it is not reached.
    public var inbound: [VPCNumber: IPv4Address]

    public init(
        isPublic: Bool = false, vpcs: Set<VPCNumber> = [], rules: [EgressRule] = [],
        limits: SlotLimits = SlotLimits(), names: [NameRule] = [],
        ports: Set<PublishedPort> = [], inbound: [VPCNumber: IPv4Address] = [:]
    ) {
        self.isPublic = isPublic
        self.vpcs = vpcs
        self.rules = rules
        self.limits = limits
        self.names = names
        self.ports = ports
        self.inbound = inbound
    }

    public func validate() throws(HostNetworkError) {
        guard rules.count <= Self.mostRules else {
            throw .refused(reason: "a sandbox has at most \(Self.mostRules) rules")
        }
        for rule in rules where rule.ports != nil && ![.tcp, .udp].contains(rule.transport) {
            throw .refused(reason: "a rule on ports must name TCP or UDP")
        }
        guard names.count <= Self.mostRules else {
            throw .refused(reason: "a sandbox has at most \(Self.mostRules) rules on names")
        }
        try PublishedPort.validate(ports)
        for (number, address) in inbound where !vpcs.contains(number) {
            throw .refused(reason: "`\(address)` is of \(number), to which it is not attached")
        }
        let units: [TokenBucket.Unit] = [.bytes, .packets, .bytes, .packets, .packets]
        for case (.some(let bucket), let unit) in zip(limits.all, units) {
            guard bucket.unit == unit else {
                throw .refused(reason: "a limit of \(unit) cannot be one of \(bucket.unit)")
            }
            guard bucket.perSecond > 0, bucket.burst > 0 else {
                throw .refused(reason: "a limit must be above 0")
            }
            guard unit == .packets || bucket.burst >= 65536 else {
                throw .refused(
                    reason: "a limit must hold at least 65536 bytes at once, which the largest "
                        + "packet has")
            }
        }
    }
}

/// What a rule of a sandbox has decided on.
public struct RuleCount: Hashable, Sendable {
    public let rule: EgressRule
    public let packets: UInt64
    public let bytes: UInt64
}
