public import LinuxKernel

/// The number of a link in its network namespace.
public struct InterfaceIndex: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    /// The loopback's, in each namespace.
    public static let loopback = InterfaceIndex(rawValue: 1)
}

extension InterfaceIndex: CustomStringConvertible {
    public var description: String { "link \(rawValue)" }
}

/// One end of a link that is to be made.
///
/// A name has at most 15 bytes; what is longer, or not a name, the kernel refuses.
public struct LinkPlan: Sendable {
    public var name: String
    /// Its number; without it the kernel chooses one.
    public var index: InterfaceIndex?
    public var address: LinkAddress?
    public var mtu: UInt32?
    /// A number by which rules know it. Corresponds to `IFLA_GROUP`.
    public var group: UInt32?
    /// Up from the beginning. Not for a veth's peer: the kernel refuses that.
    public var isUp = false
    /// Where it is to be; otherwise where the socket is.
    public var namespace: NetworkNamespace?

    public init(
        _ name: String, index: InterfaceIndex? = nil, address: LinkAddress? = nil,
        mtu: UInt32? = nil, group: UInt32? = nil, isUp: Bool = false,
        in namespace: NetworkNamespace? = nil
    ) {
        self.name = name
        self.index = index
        self.address = address
        self.mtu = mtu
        self.group = group
        self.isUp = isUp
        self.namespace = namespace
    }
}

/// The end of a VXLAN tunnel. Corresponds to `IFLA_VXLAN_…`.
public struct VXLANPlan: Sendable {
    /// The number of the network that is carried: 24 bits.
    public var identifier: UInt32
    /// The address that packets of the tunnel come from.
    public var local: IPv4Address
    /// Where frames go whose destination is in no table; otherwise they are dropped.
    public var remote: IPv4Address?
    /// The port of UDP to which they go, and on which they are received.
    public var port: UInt16
    /// The link that the tunnel's packets take, in the namespace of the socket.
    public var underlay: InterfaceIndex?
    /// Whether it learns from frames where others are. Without that the tables are all there is.
    public var learns = false

    public init(
        identifier: UInt32, local: IPv4Address, remote: IPv4Address? = nil, port: UInt16 = 4789,
        underlay: InterfaceIndex? = nil
    ) {
        self.identifier = identifier
        self.local = local
        self.remote = remote
        self.port = port
        self.underlay = underlay
    }
}

/// What a link is to be from now on.
public struct LinkChange: Sendable {
    public var isUp: Bool?
    public var mtu: UInt32?
    public var address: LinkAddress?
    public var name: String?
    public var group: UInt32?

    public init(
        isUp: Bool? = nil, mtu: UInt32? = nil, address: LinkAddress? = nil, name: String? = nil,
        group: UInt32? = nil
    ) {
        self.isUp = isUp
        self.mtu = mtu
        self.address = address
        self.name = name
        self.group = group
    }
}

/// Corresponds to `RTM_…`.
enum RouteMessage {
    static let newLink: UInt16 = 16
    static let deleteLink: UInt16 = 17
    static let listLinks: UInt16 = 18
    static let newAddress: UInt16 = 20
    static let deleteAddress: UInt16 = 21
    static let listAddresses: UInt16 = 22
    static let newRoute: UInt16 = 24
    static let deleteRoute: UInt16 = 25
    static let listRoutes: UInt16 = 26
    static let newNeighbour: UInt16 = 28
    static let deleteNeighbour: UInt16 = 29
    static let listNeighbours: UInt16 = 30
    static let newRule: UInt16 = 32
    static let deleteRule: UInt16 = 33
    static let listRules: UInt16 = 34
}

/// `AF_INET` and `AF_BRIDGE`
enum AddressFamily {
    static let ipv4: UInt8 = 2
    static let bridge: UInt8 = 7
}

/// Corresponds to `IFLA_…`.
private enum LinkAttribute {
    static let address: UInt16 = 1
    static let name: UInt16 = 3
    static let mtu: UInt16 = 4
    static let info: UInt16 = 18
    static let group: UInt16 = 27
    static let namespaceDescriptor: UInt16 = 28
    static let sendQueues: UInt16 = 31
    static let receiveQueues: UInt16 = 32
    static let infoKind: UInt16 = 1
    static let infoData: UInt16 = 2
    static let vethPeer: UInt16 = 1
}

extension NetlinkWriter {
    /// struct ifinfomsg
    fileprivate mutating func linkHeader(index: InterfaceIndex?, flags: UInt32, change: UInt32) {
        put(UInt32(0))
        put(index?.rawValue ?? 0)
        put(flags)
        put(change)
    }

    /// IFF_UP
    private static let up: UInt32 = 1

    fileprivate mutating func plan(_ plan: LinkPlan) {
        let flags = plan.isUp ? Self.up : 0
        linkHeader(index: plan.index, flags: flags, change: flags)
        attribute(LinkAttribute.name, plan.name)
        if let address = plan.address { attribute(LinkAttribute.address, address.bytes) }
        if let mtu = plan.mtu { attribute(LinkAttribute.mtu, mtu) }
        if let group = plan.group { attribute(LinkAttribute.group, group) }
        if let namespace = plan.namespace {
            attribute(
                LinkAttribute.namespaceDescriptor, UInt32(bitPattern: namespace.descriptor))
        }
        // More queues cost time and memory at each end, and one processor sends at a time.
        attribute(LinkAttribute.sendQueues, UInt32(1))
        attribute(LinkAttribute.receiveQueues, UInt32(1))
    }

    fileprivate mutating func linkInfo(
        _ kind: String, _ body: (inout NetlinkWriter) -> Void
    ) {
        nest(LinkAttribute.info) {
            $0.attribute(LinkAttribute.infoKind, kind)
            $0.nest(LinkAttribute.infoData, body)
        }
    }

    fileprivate mutating func change(_ change: LinkChange, of index: InterfaceIndex) {
        linkHeader(
            index: index, flags: change.isUp == true ? Self.up : 0,
            change: change.isUp == nil ? 0 : Self.up)
        if let mtu = change.mtu { attribute(LinkAttribute.mtu, mtu) }
        if let address = change.address { attribute(LinkAttribute.address, address.bytes) }
        if let name = change.name { attribute(LinkAttribute.name, name) }
        if let group = change.group { attribute(LinkAttribute.group, group) }
    }
}

extension NetlinkBatch {
    /// Makes a cable with two ends, each placed where it belongs. Its peer must not be up.
    public mutating func makeVeth(_ plan: LinkPlan, peer: LinkPlan) {
        add(RouteMessage.newLink, [.create, .exclusive], "make link", plan.name) {
            $0.plan(plan)
            $0.linkInfo("veth") { $0.nest(LinkAttribute.vethPeer) { $0.plan(peer) } }
        }
    }

    /// Makes the end of a tunnel. Its packets take the network of the socket's namespace, wherever
    /// the link itself is placed.
    public mutating func makeVXLAN(_ plan: LinkPlan, _ tunnel: VXLANPlan) {
        add(RouteMessage.newLink, [.create, .exclusive], "make link", plan.name) {
            $0.plan(plan)
            $0.linkInfo("vxlan") {
                $0.attribute(1, tunnel.identifier)
                if let remote = tunnel.remote { $0.attribute(2, remote) }
                if let underlay = tunnel.underlay { $0.attribute(3, underlay.rawValue) }
                $0.attribute(4, tunnel.local)
                $0.attribute(7, UInt8(tunnel.learns ? 1 : 0))
                $0.attribute(15, network: tunnel.port)
                // IFLA_VXLAN_UDP_CSUM: off, as the standard wants it over version 4.
                $0.attribute(18, UInt8(0))
            }
        }
    }

    /// Makes a link with an address of its own on another link, for the namespace it is placed
    /// in. `private`: those on the same link do not reach each other.
    public mutating func makeMacvlan(_ plan: LinkPlan, on lower: InterfaceIndex) {
        add(RouteMessage.newLink, [.create, .exclusive], "make link", plan.name) {
            $0.plan(plan)
            // IFLA_LINK; IFLA_MACVLAN_MODE: MACVLAN_MODE_BRIDGE
            $0.attribute(5, lower.rawValue)
            $0.linkInfo("macvlan") { $0.attribute(1, UInt32(4)) }
        }
    }

    /// Makes a bridge.
    public mutating func makeBridge(_ plan: LinkPlan) {
        add(RouteMessage.newLink, [.create, .exclusive], "make link", plan.name) {
            $0.plan(plan)
            $0.linkInfo("bridge") { _ in }
        }
    }

    /// Puts a link under a bridge, or takes it from it.
    public mutating func setMaster(_ master: InterfaceIndex?, of link: InterfaceIndex) {
        add(RouteMessage.newLink, [], "join link", "\(link)") {
            $0.linkHeader(index: link, flags: 0, change: 0)
            // IFLA_MASTER
            $0.attribute(10, master?.rawValue ?? 0)
        }
    }

    public mutating func changeLink(_ index: InterfaceIndex, _ change: LinkChange) {
        add(RouteMessage.newLink, [], "change link", change.name ?? "\(index)") {
            $0.change(change, of: index)
        }
    }

    /// Has the kernel take note at once that a cable's other end came up. It does so a little later
    /// by itself, and drops what is sent until then.
    ///
    /// Kernels before 6.9 are not to be had for it.
    public mutating func settleLink(_ index: InterfaceIndex) {
        // What is asked for does not matter: before it answers, the kernel looks.
        add(RouteMessage.listLinks, [], "look at link", "\(index)") {
            $0.linkHeader(index: index, flags: 0, change: 0)
        }
    }

    /// Moves a link to another namespace. Takes up to 30 ms: make links where they belong.
    public mutating func moveLink(_ index: InterfaceIndex, to namespace: NetworkNamespace) {
        add(RouteMessage.newLink, [], "move link", "\(index)") {
            $0.linkHeader(index: index, flags: 0, change: 0)
            $0.attribute(
                LinkAttribute.namespaceDescriptor, UInt32(bitPattern: namespace.descriptor))
        }
    }

    /// Takes a link away, its peer, routes and neighbours with it. Takes up to 30 ms.
    public mutating func deleteLink(_ index: InterfaceIndex) {
        add(RouteMessage.deleteLink, [], "delete link", "\(index)") {
            $0.linkHeader(index: index, flags: 0, change: 0)
        }
    }

    public mutating func deleteLink(named name: String) {
        add(RouteMessage.deleteLink, [], "delete link", name) {
            $0.linkHeader(index: nil, flags: 0, change: 0)
            $0.attribute(LinkAttribute.name, name)
        }
    }

    /// Takes all links of a group away, which takes hardly longer than one.
    public mutating func deleteLinks(ofGroup group: UInt32) {
        add(RouteMessage.deleteLink, [], "delete links", "group \(group)") {
            $0.linkHeader(index: nil, flags: 0, change: 0)
            $0.attribute(LinkAttribute.group, group)
        }
    }
}

/// A link as the kernel describes it.
public struct Link: Hashable, Sendable {
    public let index: InterfaceIndex
    public let name: String
    public let isUp: Bool
    /// Whether it can carry packets: it is up, and so is what is at its other end.
    public let isRunning: Bool
    public let mtu: UInt32
    public let group: UInt32
    public let address: LinkAddress?
    /// `veth`, `vxlan`, `tun`. None for a loopback or a card.
    public let kind: String?

    init?(_ message: NetlinkMessage) {
        var header = NetlinkReader(message.payload)
        guard message.type == RouteMessage.newLink, header.number(UInt32.self) != nil,
            let index = header.number(UInt32.self), let flags = header.number(UInt32.self),
            header.number(UInt32.self) != nil, let attributes = message.attributes(after: 16),
            let name = attributes.text(LinkAttribute.name)
        else { return nil }
        self.index = InterfaceIndex(rawValue: index)
        self.name = name
        isUp = flags & 1 != 0
        isRunning = flags & 0x40 != 0
        mtu = attributes.number(LinkAttribute.mtu) ?? 0
        group = attributes.number(LinkAttribute.group) ?? 0
        address = attributes[LinkAttribute.address].flatMap { LinkAddress(bytes: $0) }
        kind = attributes.nested(LinkAttribute.info)?.text(LinkAttribute.infoKind)
    }
}

extension NetlinkSocket {
    /// All links of the namespace.
    public func links() throws(NetlinkError) -> [Link] {
        try list(RouteMessage.listLinks, "links", Link.init) {
            $0.linkHeader(index: nil, flags: 0, change: 0)
        }
    }

    func list<Element>(
        _ type: UInt16, _ subject: StaticString, _ read: (NetlinkMessage) -> Element?,
        _ header: (inout NetlinkWriter) -> Void
    ) throws(NetlinkError) -> [Element] {
        var elements: [Element] = []
        try collect(type, subject, header) { message throws(NetlinkError) in
            guard let element = read(message) else {
                throw .malformed("list", "\(subject)", "an entry that cannot be read")
            }
            elements.append(element)
        }
        return elements
    }
}
