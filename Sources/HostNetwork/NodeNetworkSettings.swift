public import Netlink

/// How a node's networks are laid out. Every prefix here is the node's own: sandboxes see none of
/// them.
public struct NodeNetworkSettings: Hashable, Sendable {
    /// Each sandbox has one of these addresses within the router.
    public var slots: IPv4Prefix
    /// The cable between the node and the router: four addresses.
    public var uplink: IPv4Prefix
    /// The name of the node's end of it.
    public var uplinkName: String
    /// The name of the tables of the packet filter, in the router and on the node.
    public var tableName: String
    /// What no sandbox reaches by way of the node, beside what none ever does.
    public var managementPrefixes: [IPv4Prefix]
    /// The port of UDP that tunnels take.
    public var tunnelPort: UInt16
    /// How large packets of sandboxes are: a tunnel's header takes 50 bytes of those that the
    /// node's own network carries.
    public var mtu: UInt32

    public init(
        slots: IPv4Prefix = IPv4Prefix(containing: IPv4Address(100, 64, 0, 0), length: 16),
        uplink: IPv4Prefix = IPv4Prefix(containing: IPv4Address(100, 127, 255, 252), length: 30),
        uplinkName: String = "alcove0", tableName: String = "alcove",
        managementPrefixes: [IPv4Prefix] = [], tunnelPort: UInt16 = 4789, mtu: UInt32 = 1450
    ) {
        self.slots = slots
        self.uplink = uplink
        self.uplinkName = uplinkName
        self.tableName = tableName
        self.managementPrefixes = managementPrefixes
        self.tunnelPort = tunnelPort
        self.mtu = mtu
    }

    /// Refuses what cannot work.
    func validate() throws(HostNetworkError) {
        guard (8...28).contains(slots.length) else {
            throw .refused(
                reason: "the slots' prefix `\(slots)` must have between 8 and 28 bits")
        }
        guard uplink.length == 30 else {
            throw .refused(reason: "the uplink's prefix `\(uplink)` must have 30 bits")
        }
        let own = [slots, uplink, SandboxNetwork.prefix]
        for (index, first) in own.enumerated() {
            for second in own.dropFirst(index + 1) where first.overlaps(second) {
                throw .refused(reason: "`\(first)` and `\(second)` overlap")
            }
        }
        guard (1...15).contains(uplinkName.utf8.count) else {
            throw .refused(reason: "the uplink's name `\(uplinkName)` must have 1 to 15 bytes")
        }
        guard (576...65000).contains(mtu) else {
            throw .refused(reason: "the sandboxes' MTU \(mtu) must be between 576 and 65000")
        }
    }

    var nodeAddress: IPv4Address { uplink.address.advanced(by: 1) }
    var routerAddress: IPv4Address { uplink.address.advanced(by: 2) }
    var table: NetfilterTable { NetfilterTable(tableName) }
    var resolutionTable: NetfilterTable { NetfilterTable(tableName, .addressResolution) }

    /// What no sandbox reaches by way of the node: this network, loopbacks, link-local and metadata
    /// addresses, groups and what is reserved, and what the operator names. None is within another.
    var refusedPrefixes: [IPv4Prefix] {
        let always = [
            IPv4Prefix(containing: IPv4Address(0, 0, 0, 0), length: 8),
            IPv4Prefix(containing: IPv4Address(127, 0, 0, 0), length: 8),
            IPv4Prefix(containing: IPv4Address(169, 254, 0, 0), length: 16),
            IPv4Prefix(containing: IPv4Address(224, 0, 0, 0), length: 3),
        ]
        let all = Set(always + [slots, uplink, SandboxNetwork.prefix] + managementPrefixes)
        return all.filter { prefix in
            !all.contains { $0 != prefix && $0.length < prefix.length && $0.overlaps(prefix) }
        }.sorted { $0.address < $1.address }
    }
}

/// What every sandbox sees, each the same: so that a clone of one needs no new address.
public enum SandboxNetwork {
    public static let linkName = "eth0"
    public static let address = IPv4Address(172, 31, 255, 2)
    /// Also where questions of names go.
    public static let gateway = IPv4Address(172, 31, 255, 1)
    public static let prefixLength: UInt8 = 30
    public static let linkAddress = LinkAddress(local: address.rawValue)
    public static let gatewayLinkAddress = LinkAddress(local: gateway.rawValue)

    static let prefix = IPv4Prefix(containing: address, length: prefixLength)
}
