internal import AgentAPI
internal import AgentViews
internal import Console
internal import LinuxKernel

/// `alcove proxy …`
enum ProxyCommands {
    static let declarations = [
        create, list, remove, attach, detach, addInbound, removeInbound, statistics, watch,
    ]

    private static let common = [ProxyConnection.jsonFlag, ProxyConnection.socketFlag]
    private static let ids = Completion.lines(of: "alcove proxy vpc ls --quiet")
    private static let id = Argument("ID", completes: ids, help: "the VPC")

    private static func show(_ vpc: VPC?, _ parsed: ParsedCommand) {
        guard let vpc else { return }
        StandardStream.output.write(
            parsed.isOn("json")
                ? MessageJSON.document(vpc)
                : ProxyText.vpc(vpc, width: StandardStream.output.tableWidth))
    }

    // MARK: - VPCs

    private static let create = PerformableCommand(
        command: Command(
            "proxy vpc create", summary: "make a VPC on this proxy node",
            discussion: """
                The uplink is `veth:PEER` or `veth:PEER,BRIDGE` for a pair of links whose end PEER \
                stays on the node, in a bridge if one is named; `macvlan:LINK` for a link on \
                another one; `link:LINK` for one that is moved in, and back at the end.
                The same again changes nothing.
                """,
            flags: [
                Flag("vni", value: "NUMBER", help: "the tunnel's number, 1 to 16777215"),
                Flag(
                    "prefix", value: "PREFIX", repeatable: true,
                    help: "what is reached through the VPC, as in 10.1.0.0/16"),
                Flag("uplink", value: "UPLINK", help: "how the tenant's network is reached"),
                Flag(
                    "address", value: "ADDRESS/LENGTH",
                    help: "the proxy's own on the uplink, as in 10.1.0.5/24"),
                Flag("gateway", value: "ADDRESS", help: "the router on the uplink"),
                Flag(
                    "egress", value: "ADDRESS", repeatable: true,
                    help: "where the tenant sees traffic come from"),
                Flag(
                    "tunnel", value: "ADDRESS/LENGTH",
                    help: "the proxy's in the tunnel, as in 100.96.0.1/16"),
                Flag(
                    "underlay", value: "ADDRESS", defaultNote: "as the proxy was started",
                    help: "where the tunnel ends"),
                Flag("port", value: "PORT", default: "4789", help: "the tunnel's, of UDP"),
                Flag("mtu", value: "BYTES", default: "1450", help: "the largest packet inside"),
                Flag(
                    "peer", value: "RANK:TUNNEL,UNDERLAY", repeatable: true,
                    help: "another proxy with the same egress, as in 1:100.96.0.9,192.0.2.11"),
                Flag(
                    "rank", value: "NUMBER", default: "0",
                    help: "this one's: the lowest that is alive has the egress"),
            ] + common, arguments: [Argument("ID", help: "the VPC's name")],
            tables: [ProxyConnection.codes],
            examples: [
                Example(
                    """
                    alcove proxy vpc create blue --vni 7 --prefix 10.1.0.0/24 \\
                        --uplink veth:up-blue,br-blue --address 10.1.0.5/24 \\
                        --egress 10.1.0.6 --tunnel 100.96.0.1/16
                    """,
                    "out by a bridge of the node")
            ]),
        perform: { parsed in
            let id = parsed.argument("ID") ?? ""
            let spec = try specification(parsed)
            let response = try ProxyConnection(parsed).request(
                ProxyMethods.createVPC, CreateVPCRequest(id: id, spec: spec), to: "create `\(id)`")
            show(response.vpc, parsed)
            return 0
        })

    private static func specification(_ parsed: ParsedCommand) throws -> VPCSpec {
        VPCSpec(
            vni: UInt32(try required(parsed.integer("vni", in: 1...16_777_215), "vni", parsed)),
            prefixes: parsed.strings("prefix"),
            uplink: Uplink(
                kind: try uplink(required(parsed.string("uplink"), "uplink", parsed), parsed),
                address: try required(parsed.string("address"), "address", parsed),
                gateway: parsed.string("gateway") ?? ""),
            egressAddresses: parsed.strings("egress"),
            tunnelAddress: try required(parsed.string("tunnel"), "tunnel", parsed),
            underlayAddress: parsed.string("underlay") ?? "",
            tunnelPort: UInt32(try parsed.integer("port", in: 1...65535) ?? 0),
            mtu: UInt32(try parsed.integer("mtu", in: 576...8950) ?? 0),
            peers: try parsed.strings("peer").map { text throws(FlagError) in
                try peer(text, parsed)
            }, rank: UInt32(try parsed.integer("rank", in: 0...255) ?? 0))
    }

    /// `RANK:TUNNEL,UNDERLAY`, and a hardware address behind another comma.
    private static func peer(
        _ text: String, _ parsed: ParsedCommand
    ) throws(FlagError) -> ProxyPeer {
        let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
        let addresses = parts.count == 2 ? parts[1].split(separator: ",").map(String.init) : []
        guard let rank = parts.first.flatMap({ UInt32($0) }), (2...3).contains(addresses.count)
        else {
            throw parsed.refuse(
                "peer", "is no proxy", hint: "as in `1:100.96.0.9,192.0.2.11`")
        }
        return ProxyPeer(
            tunnelAddress: addresses[0], underlayAddress: addresses[1],
            tunnelHardwareAddress: addresses.count == 3 ? addresses[2] : "", rank: rank)
    }

    private static func required<Value>(
        _ value: Value?, _ flag: String, _ parsed: ParsedCommand
    ) throws -> Value {
        guard let value else { throw FlagError("`--\(flag)` is missing") }
        return value
    }

    private static func uplink(
        _ text: String, _ parsed: ParsedCommand
    ) throws(FlagError) -> Uplink.Kind {
        let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
        let names = parts.count == 2 ? parts[1].split(separator: ",").map(String.init) : []
        switch (parts.first, names.count) {
        case ("veth", 1): return .veth(.init(peer: names[0]))
        case ("veth", 2): return .veth(.init(peer: names[0], bridge: names[1]))
        case ("macvlan", 1): return .macvlan(.init(parent: names[0]))
        case ("link", 1): return .link(.init(name: names[0]))
        default:
            throw parsed.refuse(
                "uplink", "is no uplink", hint: "as in `veth:up-blue,br-blue`")
        }
    }

    private static let list = PerformableCommand(
        command: Command(
            "proxy vpc ls", summary: "list the VPCs of this proxy node, or tell all of one",
            flags: [Flag("quiet", short: "q", help: "print ids alone")] + common,
            arguments: [Argument("ID", required: false, completes: ids, help: "the VPC")],
            tables: [ProxyConnection.codes],
            examples: [Example("alcove proxy vpc ls blue", "its tunnel, uplink and nodes")]),
        perform: { parsed in
            let id = parsed.argument("ID") ?? ""
            let response = try ProxyConnection(parsed).request(
                ProxyMethods.list, ListVPCsRequest(id: id), to: "list the VPCs")
            if parsed.isOn("quiet") {
                for vpc in response.vpcs { StandardStream.output.write(vpc.id + "\n") }
            } else if !id.isEmpty {
                show(response.vpcs.first, parsed)
            } else {
                StandardStream.output.write(
                    parsed.isOn("json")
                        ? MessageJSON.document(response)
                        : ProxyText.list(
                            response.vpcs, now: WallClock.nanoseconds,
                            width: StandardStream.output.tableWidth))
            }
            return 0
        })

    private static let remove = PerformableCommand(
        command: Command(
            "proxy vpc rm", summary: "remove VPCs with their nodes and flows",
            flags: common,
            arguments: [Argument("ID", repeatable: true, completes: ids, help: "the VPCs")],
            tables: [ProxyConnection.codes],
            examples: [Example("alcove proxy vpc rm blue", "remove one")]),
        perform: { parsed in
            let proxy = try ProxyConnection(parsed)
            var worst: Int32 = 0
            for id in parsed.arguments("ID") {
                do throws(AgentFailure) {
                    _ = try proxy.request(
                        ProxyMethods.deleteVPC, DeleteVPCRequest(id: id), to: "remove `\(id)`")
                    var object = JSONObject()
                    object["id"] = .string(id)
                    StandardStream.output.write(
                        parsed.isOn("json")
                            ? JSONWriter.text(.object(object)) + "\n"
                            : PlainText.line(id) + "\n")
                } catch {
                    Messages.tell(error)
                    worst = max(worst, error.code)
                }
            }
            return worst
        })

    // MARK: - Nodes

    private static let attach = PerformableCommand(
        command: Command(
            "proxy node attach", summary: "let a compute node send into the tunnel of a VPC",
            flags: [
                Flag("underlay", value: "ADDRESS", help: "where the node's end of the tunnel is"),
                Flag("tunnel", value: "ADDRESS", help: "the node's address in the tunnel"),
                Flag(
                    "hardware", value: "ADDRESS", defaultNote: "made of the tunnel's address",
                    help: "the hardware address of the node's end"),
            ] + common, arguments: [id, Argument("NODE", help: "the node's name")],
            tables: [ProxyConnection.codes],
            examples: [
                Example(
                    "alcove proxy node attach blue node-2 --underlay 192.0.2.2 "
                        + "--tunnel 100.96.0.2", "let it in")
            ]),
        perform: { parsed in
            let (id, name) = (parsed.argument("ID") ?? "", parsed.argument("NODE") ?? "")
            let node = VPCNode(
                id: name,
                underlayAddress: try required(parsed.string("underlay"), "underlay", parsed),
                tunnelAddress: try required(parsed.string("tunnel"), "tunnel", parsed),
                tunnelHardwareAddress: parsed.string("hardware") ?? "")
            let response = try ProxyConnection(parsed).request(
                ProxyMethods.attachNode, AttachNodeRequest(vpcID: id, node: node),
                to: "attach `\(name)` to `\(id)`")
            show(response.vpc, parsed)
            return 0
        })

    private static let detach = PerformableCommand(
        command: Command(
            "proxy node detach", summary: "take a compute node away from a VPC",
            flags: common, arguments: [id, Argument("NODE", help: "the node's name")],
            tables: [ProxyConnection.codes],
            examples: [Example("alcove proxy node detach blue node-2", "let it in no longer")]),
        perform: { parsed in
            let (id, name) = (parsed.argument("ID") ?? "", parsed.argument("NODE") ?? "")
            let response = try ProxyConnection(parsed).request(
                ProxyMethods.detachNode, DetachNodeRequest(vpcID: id, nodeID: name),
                to: "detach `\(name)` from `\(id)`")
            show(response.vpc, parsed)
            return 0
        })

    // MARK: - Sandboxes that are reached

    private static let address = Argument("ADDRESS", help: "that of the tenant's network")

    private static let addInbound = PerformableCommand(
        command: Command(
            "proxy inbound add", summary: "lead an address of a VPC to a sandbox",
            flags: [
                Flag("tunnel", value: "ADDRESS", help: "the sandbox's own in the tunnel"),
                Flag("node", value: "NODE", help: "where it is"),
            ] + common, arguments: [id, address], tables: [ProxyConnection.codes],
            examples: [
                Example(
                    "alcove proxy inbound add blue 10.1.0.20 --tunnel 100.96.1.7 --node node-2",
                    "from then on the tenant reaches it by 10.1.0.20")
            ]),
        perform: { parsed in
            let (id, address) = (parsed.argument("ID") ?? "", parsed.argument("ADDRESS") ?? "")
            let inbound = InboundAddress(
                address: address,
                tunnelAddress: try required(parsed.string("tunnel"), "tunnel", parsed),
                nodeID: try required(parsed.string("node"), "node", parsed))
            let response = try ProxyConnection(parsed).request(
                ProxyMethods.addInbound, AddInboundRequest(vpcID: id, inbound: inbound),
                to: "lead `\(address)` to a sandbox")
            StandardStream.output.write(
                parsed.isOn("json")
                    ? MessageJSON.document(response) : PlainText.line(address) + "\n")
            return 0
        })

    private static let removeInbound = PerformableCommand(
        command: Command(
            "proxy inbound rm", summary: "lead an address of a VPC to no sandbox any more",
            flags: common, arguments: [id, address], tables: [ProxyConnection.codes],
            examples: [
                Example("alcove proxy inbound rm blue 10.1.0.20", "end flows to it, too")
            ]),
        perform: { parsed in
            let (id, address) = (parsed.argument("ID") ?? "", parsed.argument("ADDRESS") ?? "")
            let response = try ProxyConnection(parsed).request(
                ProxyMethods.removeInbound, RemoveInboundRequest(vpcID: id, address: address),
                to: "take `\(address)` away")
            StandardStream.output.write(
                parsed.isOn("json")
                    ? MessageJSON.document(response) : PlainText.line(address) + "\n")
            return 0
        })

    // MARK: - Looking

    private static let statistics = PerformableCommand(
        command: Command(
            "proxy stats", summary: "print what went through a VPC",
            discussion: """
                Received is what came to the proxy. Rules say what was let through, to the VPC \
                and from it, and what was not: from a node that is not attached, to what is not of \
                the VPC's prefixes, or uninvited.
                """,
            flags: [
                Flag(
                    "interval", short: "i", value: "DURATION", help: "again and again, as in 1s")
            ] + common, arguments: [id], tables: [ProxyConnection.codes],
            examples: [Example("alcove proxy stats blue", "once")]),
        perform: { parsed in
            let id = parsed.argument("ID") ?? ""
            let interval = try parsed.duration(
                "interval", in: .milliseconds(10)...(.seconds(86400)))
            let request = VPCStatsRequest(
                id: id, intervalNanoseconds: interval.map { UInt64(clamping: $0.nanoseconds) })
            let isLine = interval != nil
            try ProxyConnection(parsed).each(
                ProxyMethods.stats, request, to: "measure `\(id)`"
            ) { response in
                let json =
                    isLine ? MessageJSON.line(response) : MessageJSON.document(response)
                StandardStream.output.write(
                    parsed.isOn("json")
                        ? json
                        : ProxyText.statistics(
                            response, width: StandardStream.output.tableWidth))
                return true
            }
            return 0
        })

    private static let watch = PerformableCommand(
        command: Command(
            "proxy watch", summary: "print what happens on this proxy node",
            flags: [
                Flag(
                    "from", value: "NUMBER", defaultNote: "what happens from now on",
                    help: "the first event, by its number"),
                Flag("json", help: "print a line of JSON for each event"),
                ProxyConnection.socketFlag,
            ], tables: [ProxyConnection.codes],
            examples: [Example("alcove proxy watch --from 1", "from the beginning")]),
        perform: { parsed in
            let from = try parsed.integer("from", in: 1...Int.max).map { UInt64($0) }
            try ProxyConnection(parsed).each(
                ProxyMethods.watch, WatchVPCsRequest(fromNumber: from ?? 0),
                to: "watch the events"
            ) { event in
                StandardStream.output.write(
                    parsed.isOn("json") ? MessageJSON.line(event) : ProxyText.line(event))
                return true
            }
            return 0
        })
}
