internal import AgentAPI
internal import Console

/// The flags that describe a sandbox's network.
enum NetworkFlags {
    static let flags = [
        Flag(
            "network", value: "KIND", defaultNote: "closed with another flag of networks, or none",
            completes: .words(["public", "closed"]),
            help: "join it to the node's networks: the world is open to it (public), or only what "
                + "other flags open (closed)"),
        Flag(
            "vpc", value: "VPC", repeatable: true,
            completes: .lines(of: "alcove network vpc ls --quiet"),
            help: "let it into a VPC that the node is in"),
        Flag(
            "inbound", value: "VPC=ADDRESS", repeatable: true,
            help: "let it be reached from a VPC, by an address of its own in the tunnel"),
        Flag(
            "allow", value: "WHAT", repeatable: true,
            help: "open [PROTOCOL:]PREFIX[:PORT[-PORT]], or a name, as in tcp:10.0.0.0/8:443 or "
                + "*.example.org"),
        Flag(
            "deny", value: "WHAT", repeatable: true,
            help: "close the same; denials come before what is allowed"),
        Flag(
            "publish", value: "[PROTOCOL:]PORT[:PORT]", repeatable: true,
            help: "let a port of the node lead to one of it, as in 8080:80 or udp:53"),
        Flag("net-out", value: "RATE", help: "limit what it sends, as in 10MiB/s"),
        Flag("net-in", value: "RATE", help: "limit what it receives, as in 100Mbit/s"),
        Flag("net-packets-out", value: "COUNT", help: "limit the packets that it sends a second"),
        Flag("net-packets-in", value: "COUNT", help: "limit those that it receives a second"),
        Flag("net-flows", value: "COUNT", help: "limit the connections that it begins a second"),
    ]

    /// What the flags ask for; nothing where none is given.
    static func network(_ parsed: ParsedCommand) throws -> NetworkSpec? {
        guard flags.contains(where: { parsed.isGiven($0.name) }) else { return nil }
        var network = NetworkSpec(
            publicEgress: try parsed.choice("network", of: ["public", "closed"]) == "public",
            vpcs: parsed.strings("vpc"))
        network.inbound = try parsed.pairs("inbound").map {
            VPCInbound(vpcID: $0.key, tunnelAddress: $0.value)
        }
        for way in network.inbound where !network.vpcs.contains(way.vpcID) {
            network.vpcs.append(way.vpcID)
        }
        for (flag, action) in [("deny", RuleAction.deny), ("allow", .allow)] {
            for text in parsed.strings(flag) {
                if isName(text) {
                    network.names.append(NameRule(action: action, name: text))
                } else {
                    network.rules.append(try rule(text, action, flag, parsed))
                }
            }
        }
        network.ports = try parsed.strings("publish").map { (text) throws in
            try port(text, parsed)
        }
        network.limits = try limits(parsed)
        return network
    }

    /// Whether it is a name and not a rule on addresses: those begin with a digit, or with a
    /// protocol.
    private static func isName(_ text: String) -> Bool {
        guard let last = text.split(separator: ".").last, !text.contains(":") else { return false }
        return protocols[text] == nil && !last.utf8.allSatisfy { isDigit($0) || $0 == slash }
    }

    private static let slash = UInt8(ascii: "/")
    private static let protocols: [String: TransportProtocol] = [
        "tcp": .tcp, "udp": .udp, "icmp": .icmp,
    ]

    private static func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }

    /// `tcp:10.0.0.0/8:443-445`, each part of which may be left out but one.
    private static func rule(
        _ text: String, _ action: RuleAction, _ flag: String, _ parsed: ParsedCommand
    ) throws -> EgressRule {
        var parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        var rule = EgressRule(action: action)
        if let first = parts.first, let known = protocols[first] {
            rule.protocol = known
            parts.removeFirst()
        }
        if let prefix = parts.first, prefix.contains(".") {
            rule.prefix = prefix
            parts.removeFirst()
        }
        if let ports = parts.first {
            let span = ports.split(separator: "-", omittingEmptySubsequences: false).map {
                UInt16($0)
            }
            guard let first = span.first ?? nil, let last = span.last ?? nil, span.count <= 2,
                first > 0, first <= last
            else { throw refusal(text, flag, parsed) }
            (rule.firstPort, rule.lastPort) = (UInt32(first), UInt32(last))
            parts.removeFirst()
        }
        guard parts.isEmpty else { throw refusal(text, flag, parsed) }
        return rule
    }

    private static func refusal(
        _ text: String, _ flag: String, _ parsed: ParsedCommand
    ) -> FlagError {
        parsed.refuse(
            flag, "\(PlainText.quoted(text)) is nothing that can be opened or closed",
            hint: "write [PROTOCOL:]PREFIX[:PORT[-PORT]], as in tcp:10.0.0.0/8:443, or a name")
    }

    private static func port(
        _ text: String, _ parsed: ParsedCommand
    ) throws -> PublishedPort {
        var parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        var port = PublishedPort()
        if let first = parts.first, let known = protocols[first], known != .icmp {
            port.protocol = known
            parts.removeFirst()
        }
        let numbers = parts.map { UInt16($0) ?? 0 }
        guard (1...2).contains(numbers.count), numbers.allSatisfy({ $0 > 0 }) else {
            throw parsed.refuse(
                "publish", "\(PlainText.quoted(text)) is no port",
                hint: "write [PROTOCOL:]PORT[:PORT], as in 8080:80 or udp:53")
        }
        port.nodePort = UInt32(numbers[0])
        port.port = numbers.count == 2 ? UInt32(numbers[1]) : 0
        return port
    }

    private static func limits(_ parsed: ParsedCommand) throws -> NetworkLimits? {
        var limits = NetworkLimits()
        limits.sentBytes = try parsed.bytesPerSecond("net-out").map { TokenBucket(perSecond: $0) }
        limits.receivedBytes = try parsed.bytesPerSecond("net-in").map {
            TokenBucket(perSecond: $0)
        }
        let counts: [(String, WritableKeyPath<NetworkLimits, TokenBucket?>)] = [
            ("net-packets-out", \.sentPackets), ("net-packets-in", \.receivedPackets),
            ("net-flows", \.newFlows),
        ]
        for (flag, place) in counts {
            limits[keyPath: place] = try parsed.integer(flag, in: 1...Int(Int32.max)).map {
                TokenBucket(perSecond: UInt64($0))
            }
        }
        return limits == NetworkLimits() ? nil : limits
    }
}
