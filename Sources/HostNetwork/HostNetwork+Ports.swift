internal import LinuxKernel
internal import Netlink

/// A port of the node's that leads to one of a sandbox.
public struct PublishedPort: Hashable, Sendable {
    /// The most of one sandbox.
    static let most = 64

    /// TCP or UDP.
    public var transport: TransportProtocol
    public var nodePort: UInt16
    public var port: UInt16

    public init(_ transport: TransportProtocol, nodePort: UInt16, to port: UInt16) {
        self.transport = transport
        self.nodePort = nodePort
        self.port = port
    }

    static func validate(_ ports: Set<PublishedPort>) throws(HostNetworkError) {
        guard ports.count <= most else {
            throw .refused(reason: "a sandbox has at most \(most) published ports")
        }
        var taken: Set<[UInt8]> = []
        for port in ports {
            guard [.tcp, .udp].contains(port.transport) else {
                throw .refused(reason: "a published port must be one of TCP or UDP")
            }
            guard port.nodePort > 0, port.port > 0 else {
                throw .refused(reason: "a published port must be above 0")
            }
            guard taken.insert(port.nodeKey).inserted else {
                throw .refused(reason: "\(port.nodeName) cannot lead to two ports of a sandbox")
            }
        }
    }

    /// A key of `NodeRules.ports`: parts fill registers of four bytes.
    var nodeKey: [UInt8] { [transport.rawValue, 0, 0, 0] + nodePort.networkBytes + [0, 0] }

    func element(to address: IPv4Address) -> NetfilterElement {
        NetfilterElement(
            nodeKey, to: .value(address.bytes + port.networkBytes + [0, 0]))
    }

    /// A part of a key of `RouterRules.published`.
    var slotKey: [UInt8] { [transport.rawValue, 0, 0, 0] + port.networkBytes + [0, 0] }

    /// As messages name it.
    var nodeName: String {
        "port \(nodePort) of \(transport == .tcp ? "TCP" : "UDP") on the node"
    }
}

// Ports of the node's that lead to slots: an element in the node's table and one in the router's.
extension HostNetwork {
    private var nodePorts: NetfilterSet { NodeRules(settings: settings).ports }

    /// Lets them lead to a slot, all or none.
    func publish(
        _ ports: Set<PublishedPort>, of slot: SlotIndex, _ state: inout State
    ) throws(HostNetworkError) {
        guard !ports.isEmpty else { return }
        var sockets: [PublishedPort: InternetSocket] = [:]
        for port in ports { sockets[port] = try reserve(port, for: slot, state) }
        var transaction = NetfilterTransaction()
        let address = address(of: slot)
        transaction.addElements(ports.map { $0.element(to: address) }, to: nodePorts)
        try performNodeFilter(transaction)
        state.slots[slot]?.sockets.merge(sockets) { $1 }
        for port in ports { state.ports[port.nodeKey] = slot }
    }

    /// Whoever else on the node wants the port later is told that it is taken.
    private func reserve(
        _ port: PublishedPort, for slot: SlotIndex, _ state: State
    ) throws(HostNetworkError) -> InternetSocket {
        if let other = state.ports[port.nodeKey], other != slot {
            throw .refused(reason: "\(port.nodeName) leads to \(other) already")
        }
        if port.transport == .udp, port.nodePort == settings.tunnelPort {
            throw .refused(reason: "\(port.nodeName) is that of tunnels")
        }
        // There is one element for a port, which cannot be changed while it leads somewhere.
        if let own = state.slots[slot]?.sockets.first(where: { $0.key.nodeKey == port.nodeKey }) {
            throw .refused(
                reason: "\(port.nodeName) leads to port \(own.key.port) of \(slot): take that away "
                    + "first")
        }
        do throws(SystemCallError) {
            let socket = try InternetSocket(
                port.transport == .tcp ? .stream : .datagrams, in: node)
            if port.transport == .tcp { try socket.overlookLingering() }
            try socket.bind(to: InternetAddress(0, port: port.nodePort))
            return socket
        } catch {
            guard error.errorNumber == .addressInUse else { throw .system(error) }
            throw .refused(reason: "\(port.nodeName) is in use")
        }
    }

    /// Nothing new that comes for them from now on is the slot's.
    func unpublish(
        _ ports: Set<PublishedPort>, of slot: SlotIndex, _ state: inout State
    ) throws(HostNetworkError) {
        let known = ports.filter { state.slots[slot]?.sockets[$0] != nil }
        guard !known.isEmpty else { return }
        var transaction = NetfilterTransaction()
        transaction.deleteElements(known.map { NetfilterElement($0.nodeKey) }, of: nodePorts)
        try performNodeFilter(transaction)
        for port in known {
            state.slots[slot]?.sockets[port] = nil
            state.ports[port.nodeKey] = nil
        }
    }

    /// The router's part of it.
    func changePorts(
        _ key: [UInt8], _ before: Set<PublishedPort>, _ after: Set<PublishedPort>,
        in transaction: inout NetfilterTransaction
    ) {
        guard before != after else { return }
        // Two ports of the node's can lead to one of the sandbox's.
        let old = Set(before.map(\.slotKey))
        let new = Set(after.map(\.slotKey))
        let gone = old.subtracting(new).map { NetfilterElement(key + $0) }
        let come = new.subtracting(old).map { NetfilterElement(key + $0) }
        if !gone.isEmpty { transaction.deleteElements(gone, of: rules.published) }
        if !come.isEmpty { transaction.addElements(come, to: rules.published) }
    }

    /// Flows of strangers to a slot that is given back, which must not be the next sandbox's.
    func forgetStrangers(of slot: SlotIndex) throws(HostNetworkError) {
        let address = address(of: slot)
        try withNetlink { () throws(NetlinkError) in
            try filter.forgetFlows(answeredFrom: address)
            try nodeFilter.forgetFlows(answeredFrom: address)
        }
    }

    private func performNodeFilter(
        _ transaction: NetfilterTransaction
    ) throws(HostNetworkError) {
        try withNetlink { () throws(NetlinkError) in try nodeFilter.perform(transaction) }
    }
}
