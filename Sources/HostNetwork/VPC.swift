public import Netlink

/// The number of a tenant's network on this node: the mark of its packets, and the zone of its
/// flows.
public struct VPCNumber: RawRepresentable, Hashable, Comparable, Sendable {
    public let rawValue: UInt16

    /// Nothing for 0, which is no mark at all.
    public init?(rawValue: UInt16) {
        guard rawValue > 0 else { return nil }
        self.rawValue = rawValue
    }

    public static func < (left: VPCNumber, right: VPCNumber) -> Bool {
        left.rawValue < right.rawValue
    }

    var mark: UInt32 { UInt32(rawValue) }
    /// Tables below are others'.
    static let firstTable: UInt32 = 0x10000
    var table: UInt32 { Self.firstTable + mark }
    /// Its proxies together, and each of them, as routes name them.
    var hops: UInt32 { mark << 8 }
    func hop(_ place: UInt8) -> UInt32 { hops | UInt32(place) }
    /// Beyond those of slots.
    var link: InterfaceIndex { InterfaceIndex(rawValue: 0x4000_0000 + mark) }
    var rule: RoutingRule { RoutingRule(priority: 100 + mark, mark: mark, table: table) }
}

extension VPCNumber: CustomStringConvertible {
    public var description: String { "VPC \(rawValue)" }
}

/// A proxy of a tenant's network: the other end of the tunnel.
public struct VPCProxy: Hashable, Sendable {
    /// Its address on the network of the cloud's machines.
    public var node: IPv4Address
    /// Its addresses within the tunnel.
    public var address: IPv4Address
    public var linkAddress: LinkAddress
    /// Flows go to those of the lowest rank of which one is alive. Those that share their fixed
    /// addresses have each another one.
    public var rank: UInt8

    public init(
        node: IPv4Address, address: IPv4Address, linkAddress: LinkAddress, rank: UInt8 = 0
    ) {
        self.node = node
        self.address = address
        self.linkAddress = linkAddress
        self.rank = rank
    }
}

/// A tenant's network, as a node takes part in it.
public struct VPCPlan: Hashable, Sendable {
    public var number: VPCNumber
    /// The number of the tunnel, the same on all nodes and proxies: 24 bits.
    public var identifier: UInt32
    /// What the tenant has there.
    public var prefixes: [IPv4Prefix]
    /// This node's address on the network of the cloud's machines.
    public var node: IPv4Address
    /// This node's address within the tunnel. All its sandboxes are seen with it.
    public var address: IPv4Address
    /// Flows are spread over those of the lowest rank that are alive.
    public var proxies: [VPCProxy]

    public init(
        number: VPCNumber, identifier: UInt32, prefixes: [IPv4Prefix], node: IPv4Address,
        address: IPv4Address, proxies: [VPCProxy]
    ) {
        self.number = number
        self.identifier = identifier
        self.prefixes = prefixes
        self.node = node
        self.address = address
        self.proxies = proxies
    }

    /// It says which tunnel it is the end of.
    var linkName: String { "v\(identifier)" }

    /// This node's address on the tunnel's link. A proxy can tell it from the address within the
    /// tunnel.
    public var linkAddress: LinkAddress { LinkAddress(local: address.rawValue) }

    public func validate() throws(HostNetworkError) {
        guard (1..<1 << 24).contains(identifier) else {
            throw .refused(reason: "the tunnel's number \(identifier) must have 24 bits")
        }
        guard !prefixes.isEmpty, !proxies.isEmpty else {
            throw .refused(reason: "\(number) must have a prefix and a proxy")
        }
        guard prefixes.count <= 4096, proxies.count <= 64 else {
            throw .refused(reason: "\(number) has more than 4096 prefixes or 64 proxies")
        }
        for (index, proxy) in proxies.enumerated() {
            for other in proxies.dropFirst(index + 1)
            where other.address == proxy.address || other.linkAddress == proxy.linkAddress {
                throw .refused(
                    reason: "two proxies of \(number) have the address `\(other.address)` or "
                        + "`\(other.linkAddress)`")
            }
        }
        for (index, prefix) in prefixes.enumerated() {
            if prefix.overlaps(SandboxNetwork.prefix) {
                throw .refused(
                    reason: "`\(prefix)` of \(number) covers what each sandbox has within: "
                        + "`\(SandboxNetwork.prefix)`")
            }
            for other in prefixes.dropFirst(index + 1) where other.overlaps(prefix) {
                throw .refused(reason: "`\(prefix)` and `\(other)` of \(number) overlap")
            }
        }
    }

    /// Elements of `RouterRules.prefixes`.
    var prefixElements: [NetfilterElement] {
        let mark = number.mark.nativeBytes
        return prefixes.map {
            NetfilterElement(mark + $0.address.bytes, through: mark + $0.last.bytes)
        }
    }
}
