/// A way to a prefix.
public struct Route: Hashable, Sendable {
    /// What becomes of packets for it.
    public enum Kind: UInt8, Sendable {
        case unicast = 1
        case local = 2
        case broadcast = 3
        case multicast = 5
        case blackhole = 6
        case unreachable = 7
        case prohibit = 8
    }

    /// The table in which most routes stand.
    public static let mainTable: UInt32 = 254

    public var destination: IPv4Prefix
    public var kind: Kind
    public var table: UInt32
    public var gateway: IPv4Address?
    /// The number of a gateway, or of a group of them, in place of a gateway and a link.
    public var nextHop: UInt32?
    /// The gateway is on the link, even if no route says so.
    public var isOnLink: Bool
    public var link: InterfaceIndex?
    /// The address that packets of this machine come from.
    public var source: IPv4Address?
    public var mtu: UInt32?
    /// Of several ways the one with the lowest is taken.
    public var priority: UInt32?

    public init(
        to destination: IPv4Prefix, kind: Kind = .unicast, via gateway: IPv4Address? = nil,
        onLink: Bool = false, through link: InterfaceIndex? = nil,
        table: UInt32 = Route.mainTable, source: IPv4Address? = nil, mtu: UInt32? = nil,
        priority: UInt32? = nil, nextHop: UInt32? = nil
    ) {
        self.destination = destination
        self.kind = kind
        self.gateway = gateway
        isOnLink = onLink
        self.link = link
        self.table = table
        self.source = source
        self.mtu = mtu
        self.priority = priority
        self.nextHop = nextHop
    }

    /// Nothing when it is one of a kind that is not made here.
    static func read(_ message: NetlinkMessage) -> Route?? {
        var header = NetlinkReader(message.payload)
        guard message.type == RouteMessage.newRoute, header.number(UInt8.self) != nil,
            let length = header.number(UInt8.self), header.take(5) != nil,
            let kind = header.number(UInt8.self), let flags = header.number(UInt32.self),
            let attributes = message.attributes(after: 12)
        else { return nil }
        let address = attributes.address(1) ?? IPv4Address(rawValue: 0)
        guard let destination = IPv4Prefix(address, length: length) else { return nil }
        guard let kind = Kind(rawValue: kind) else { return .some(nil) }
        return Route(
            to: destination, kind: kind, via: attributes.address(5), onLink: flags & 4 != 0,
            through: attributes.number(4).map(InterfaceIndex.init(rawValue:)),
            table: attributes.number(15) ?? mainTable, source: attributes.address(7),
            mtu: attributes.nested(8)?.number(2), priority: attributes.number(6),
            nextHop: attributes.number(30))
    }
}

extension NetlinkWriter {
    /// struct rtmsg, and RTA_….
    fileprivate mutating func route(_ route: Route, deleting: Bool = false) {
        put(AddressFamily.ipv4)
        put(route.destination.length)
        put(UInt16(0))
        // RT_TABLE_UNSPEC: a table beyond 255 is told of by an attribute alone, so all are.
        put(UInt8(0))
        // RTPROT_STATIC, or whichever for what is to be taken away.
        put(UInt8(deleting ? 0 : 4))
        // RT_SCOPE_LINK where no gateway is beyond it, RT_SCOPE_NOWHERE to match each.
        put(UInt8(deleting ? 255 : route.gateway == nil && route.link != nil ? 253 : 0))
        put(route.kind.rawValue)
        // RTNH_F_ONLINK
        put(UInt32(route.isOnLink ? 4 : 0))
        if route.destination.length > 0 { attribute(1, route.destination.address) }
        if let link = route.link { attribute(4, link.rawValue) }
        if let gateway = route.gateway { attribute(5, gateway) }
        if let priority = route.priority { attribute(6, priority) }
        if let source = route.source { attribute(7, source) }
        // RTA_METRICS: RTAX_MTU
        if let mtu = route.mtu { nest(8) { $0.attribute(2, mtu) } }
        attribute(15, route.table)
        // RTA_NH_ID
        if let nextHop = route.nextHop { attribute(30, nextHop) }
    }
}

extension NetlinkBatch {
    /// Adds a route. One that is there already is replaced.
    public mutating func addRoute(_ route: Route) {
        add(RouteMessage.newRoute, [.create, .replace], "add route", "\(route.destination)") {
            $0.route(route)
        }
    }

    public mutating func deleteRoute(_ route: Route) {
        add(RouteMessage.deleteRoute, [], "delete route", "\(route.destination)") {
            $0.route(route, deleting: true)
        }
    }
}

extension NetlinkSocket {
    /// The routes of a table, or of all.
    public func routes(table: UInt32? = nil) throws(NetlinkError) -> [Route] {
        let all: [Route?] = try list(RouteMessage.listRoutes, "routes", Route.read) {
            // struct rtmsg of version 4
            $0.put(UInt32(AddressFamily.ipv4))
            $0.put(UInt64(0))
        }
        return all.compactMap { $0 }.filter { table == nil || $0.table == table }
    }
}

/// Which table of routes is asked, for packets with a mark.
public struct RoutingRule: Hashable, Sendable {
    /// Rules are asked in the order of their priorities.
    public var priority: UInt32
    public var mark: UInt32
    /// Which bits of a packet's mark count.
    public var mask: UInt32
    public var table: UInt32

    public init(priority: UInt32, mark: UInt32, mask: UInt32 = .max, table: UInt32) {
        self.priority = priority
        self.mark = mark
        self.mask = mask
        self.table = table
    }

    init?(_ message: NetlinkMessage) {
        guard message.type == RouteMessage.newRule,
            let attributes = message.attributes(after: 12)
        else { return nil }
        priority = attributes.number(6) ?? 0
        mark = attributes.number(10) ?? 0
        mask = attributes.number(16) ?? 0
        table = attributes.number(15) ?? 0
    }
}

extension NetlinkWriter {
    /// struct fib_rule_hdr, and FRA_….
    fileprivate mutating func rule(_ rule: RoutingRule) {
        put(UInt32(AddressFamily.ipv4))
        put(UInt8(0))
        put(UInt16(0))
        // FR_ACT_TO_TBL
        put(UInt8(1))
        put(UInt32(0))
        attribute(6, rule.priority)
        attribute(10, rule.mark)
        attribute(15, rule.table)
        attribute(16, rule.mask)
    }
}

extension NetlinkBatch {
    public mutating func addRule(_ rule: RoutingRule) {
        add(RouteMessage.newRule, [.create, .exclusive], "add routing rule", "\(rule.priority)") {
            $0.rule(rule)
        }
    }

    public mutating func deleteRule(_ rule: RoutingRule) {
        add(RouteMessage.deleteRule, [], "delete routing rule", "\(rule.priority)") {
            $0.rule(rule)
        }
    }
}

extension NetlinkSocket {
    /// The rules by which tables are chosen, those of the kernel included.
    public func rules() throws(NetlinkError) -> [RoutingRule] {
        try list(RouteMessage.listRules, "routing rules", RoutingRule.init) {
            $0.put(UInt32(AddressFamily.ipv4))
            $0.put(UInt64(0))
        }
    }
}
