internal import AgentAPI
internal import HostNetwork
internal import Netlink
internal import RPC

extension NetworkSpec {
    /// What the kernel is told, which is checked there as well.
    ///
    /// - Parameter number: that of a VPC by its id, which the node must be in.
    func slotSettings(
        vpc number: (String) throws(CallFailure) -> VPCNumber
    ) throws(CallFailure) -> SlotSettings {
        var settings = SlotSettings(isPublic: publicEgress)
        for id in vpcs { settings.vpcs.insert(try number(id)) }
        guard Set(vpcs).count == vpcs.count else {
            throw .invalid("network.vpcs", "has one twice")
        }
        for (index, rule) in rules.enumerated() {
            settings.rules.append(try rule.slotRule("network.rules[\(index)]"))
        }
        for (index, rule) in names.enumerated() {
            settings.names.append(try rule.slotRule("network.names[\(index)]"))
        }
        for (index, port) in ports.enumerated() {
            settings.ports.insert(try port.slotPort("network.ports[\(index)]"))
        }
        for (index, way) in inbound.enumerated() {
            let field = "network.inbound[\(index)]"
            let address = try NodeVPC.address(way.tunnelAddress, field + ".tunnel_address")
            let before = settings.inbound.updateValue(address, forKey: try number(way.vpcID))
            guard before == nil else {
                throw .invalid(field + ".vpc_id", "is `\(way.vpcID)` a second time")
            }
        }
        if let limits { settings.limits = try limits.slotLimits() }
        do throws(HostNetworkError) {
            try settings.validate()
        } catch {
            throw .invalid("network", "cannot be: \(error)")
        }
        return settings
    }
}

extension RuleAction {
    fileprivate func slotAction(_ field: String) throws(CallFailure) -> SlotRule.Action {
        switch self {
        case .allow: .allow
        case .deny: .deny
        case .unrecognized(let number):
            throw .unknownNumber(number, field + ".action", "0 is ALLOW, 1 is DENY")
        }
    }
}

extension AgentAPI.EgressRule {
    fileprivate func slotRule(_ field: String) throws(CallFailure) -> SlotRule {
        var rule = SlotRule(try action.slotAction(field))
        if !prefix.isEmpty { rule.destination = try Self.prefix(prefix, field + ".prefix") }
        rule.transport = try self.protocol.slotTransport(field)
        guard firstPort > 0 else {
            guard lastPort == 0 else {
                throw .invalid(field + ".first_port", "is missing, and `last_port` is set")
            }
            return rule
        }
        let last = lastPort == 0 ? firstPort : lastPort
        guard let first = UInt16(exactly: firstPort), let last = UInt16(exactly: last),
            first <= last
        else {
            throw .invalid(
                field + ".first_port", "and `last_port` are no span of ports",
                hint: "1 to 65535, the first no higher than the last")
        }
        rule.ports = first...last
        return rule
    }

    static func prefix(_ text: String, _ field: String) throws(CallFailure) -> IPv4Prefix {
        guard let prefix = IPv4Prefix(text) else {
            throw .invalid(
                field, "is `\(text.prefix(80))`, which is no prefix of IPv4",
                hint: "an address with no bit set behind the length, as in 10.0.0.0/8")
        }
        return prefix
    }
}

extension AgentAPI.TransportProtocol {
    /// Nothing for all of them.
    fileprivate func slotTransport(_ field: String) throws(CallFailure) -> SlotTransport? {
        switch self {
        case .any: nil
        case .tcp: .tcp
        case .udp: .udp
        case .icmp: .icmp
        case .unrecognized(let number):
            throw .unknownNumber(
                number, field + ".protocol", "0 is ANY, 1 is TCP, 2 is UDP, 3 is ICMP")
        }
    }
}

extension AgentAPI.NameRule {
    fileprivate func slotRule(_ field: String) throws(CallFailure) -> SlotNameRule {
        guard let names = NamePattern(name) else {
            throw .invalid(
                field + ".name", "is `\(name.prefix(80))`, which is no name",
                hint: "a name, `*.` and a name for all below it, or `*`")
        }
        return SlotNameRule(try action.slotAction(field), names)
    }
}

extension AgentAPI.PublishedPort {
    fileprivate func slotPort(_ field: String) throws(CallFailure) -> SlotPort {
        let transport = try self.protocol.slotTransport(field) ?? .tcp
        guard let nodePort = UInt16(exactly: nodePort), nodePort > 0 else {
            throw .invalid(field + ".node_port", "is \(self.nodePort), which is no port")
        }
        guard let port = UInt16(exactly: port == 0 ? UInt32(nodePort) : port) else {
            throw .invalid(field + ".port", "is \(self.port), which is no port")
        }
        return SlotPort(transport, nodePort: nodePort, to: port)
    }
}

extension NetworkLimits {
    fileprivate func slotLimits() throws(CallFailure) -> SlotLimits {
        var limits = SlotLimits()
        limits.outwardBytes = try Self.bucket(sentBytes, .bytes, "sent_bytes")
        limits.outwardPackets = try Self.bucket(sentPackets, .packets, "sent_packets")
        limits.inwardBytes = try Self.bucket(receivedBytes, .bytes, "received_bytes")
        limits.inwardPackets = try Self.bucket(receivedPackets, .packets, "received_packets")
        limits.newFlows = try Self.bucket(newFlows, .packets, "new_flows")
        return limits
    }

    private static func bucket(
        _ bucket: AgentAPI.TokenBucket?, _ unit: SlotBucket.Unit, _ name: String
    ) throws(CallFailure) -> SlotBucket? {
        guard let bucket else { return nil }
        let field = "network.limits.\(name)"
        guard bucket.perSecond > 0 else {
            throw .invalid(field + ".per_second", "is 0", hint: "leave the limit out for none")
        }
        let usual = min(bucket.perSecond, UInt64(UInt32.max))
        let burst = bucket.burst > 0 ? bucket.burst : max(usual, unit == .bytes ? 65536 : 1)
        guard let burst = UInt32(exactly: burst) else {
            throw .invalid(field + ".burst", "is \(bucket.burst)", hint: "at most \(UInt32.max)")
        }
        return SlotBucket(unit, perSecond: bucket.perSecond, burst: burst)
    }
}

extension NodeVPC {
    private static let idHint = "1 to 63 of `a-z 0-9 -`, the first and the last a letter or a digit"

    func checkID() throws(CallFailure) {
        let isPlain = { (byte: UInt8) in
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
        }
        let bytes = Array(id.utf8)
        guard let first = bytes.first, let last = bytes.last, bytes.count <= 63, isPlain(first),
            isPlain(last), bytes.allSatisfy({ isPlain($0) || $0 == UInt8(ascii: "-") })
        else {
            throw .invalid(
                "vpc.id", "is `\(id.prefix(80))`, which is no id of a VPC", hint: Self.idHint)
        }
    }

    /// With what it leaves out.
    func completed(underlay: IPv4Address?) throws(CallFailure) -> NodeVPC {
        var vpc = self
        if vpc.underlayAddress.isEmpty {
            guard let underlay else {
                throw .invalid(
                    "vpc.underlay_address", "is missing",
                    hint: "or set `network.underlay` in the agent's configuration")
            }
            vpc.underlayAddress = "\(underlay)"
        }
        for index in vpc.proxies.indices where vpc.proxies[index].tunnelHardwareAddress.isEmpty {
            let address = try Self.address(
                vpc.proxies[index].tunnelAddress, "vpc.proxies[\(index)].tunnel_address")
            vpc.proxies[index].tunnelHardwareAddress = "\(LinkAddress(local: address.rawValue))"
        }
        return vpc
    }

    /// Of one that is complete.
    func plan(_ number: VPCNumber) throws(CallFailure) -> VPCPlan {
        var prefixes: [IPv4Prefix] = []
        for (index, text) in self.prefixes.enumerated() {
            prefixes.append(try AgentAPI.EgressRule.prefix(text, "vpc.prefixes[\(index)]"))
        }
        var proxies: [TunnelProxy] = []
        for (index, proxy) in self.proxies.enumerated() {
            let field = "vpc.proxies[\(index)]"
            let text = proxy.tunnelHardwareAddress
            guard let hardware = LinkAddress(text), hardware.isOfOne else {
                throw .invalid(
                    field + ".tunnel_hardware_address",
                    "is `\(text.prefix(80))`, which is no hardware address",
                    hint: "six bytes in hexadecimal, as in 02:ac:64:60:00:01")
            }
            guard let rank = UInt8(exactly: proxy.rank) else {
                throw .invalid(field + ".rank", "is \(proxy.rank)", hint: "0 to 255")
            }
            proxies.append(
                TunnelProxy(
                    node: try Self.address(proxy.underlayAddress, field + ".underlay_address"),
                    address: try Self.address(proxy.tunnelAddress, field + ".tunnel_address"),
                    linkAddress: hardware, rank: rank))
        }
        let plan = VPCPlan(
            number: number, identifier: vni, prefixes: prefixes,
            node: try Self.address(underlayAddress, "vpc.underlay_address"),
            address: try Self.address(tunnelAddress, "vpc.tunnel_address"), proxies: proxies)
        do throws(HostNetworkError) {
            try plan.validate()
        } catch {
            throw .invalid("vpc", "cannot be: \(error)")
        }
        return plan
    }

    static func address(_ text: String, _ field: String) throws(CallFailure) -> IPv4Address {
        guard let address = IPv4Address(text) else {
            throw .invalid(field, "is `\(text.prefix(80))`, which is no address of IPv4")
        }
        return address
    }
}
