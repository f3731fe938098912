internal import AgentAPI
internal import AgentViews
internal import Console
internal import LinuxKernel

/// `alcove network …`
enum NetworkCommands {
    static let declarations = [status, show, set, attach, detach, join, leave, list]

    private static let common = [Agent.jsonFlag, Agent.socketFlag]
    private static let sandbox = Argument(
        "ID", completes: .lines(of: "alcove ps --quiet"), help: "the sandbox")
    private static let vpcs = Completion.lines(of: "alcove network vpc ls --quiet")
    private static let vpc = Argument("VPC", completes: vpcs, help: "the VPC")

    // MARK: - Sandboxes

    private static let status = PerformableCommand(
        command: Command(
            "network status", summary: "say what the networks of this node's sandboxes are",
            flags: common, tables: [AgentExitCode.table],
            examples: [Example("alcove network status", "slots, drops, questions of names")]),
        perform: { parsed in
            let response = try Agent(parsed).request(
                NetworksMethods.status, NetworkStatusRequest(), to: "tell about the networks")
            StandardStream.output.write(
                parsed.isOn("json")
                    ? MessageJSON.document(response)
                    : NetworkText.status(response, width: StandardStream.output.tableWidth))
            return 0
        })

    private static let show = PerformableCommand(
        command: Command(
            "network show", summary: "say what a sandbox may reach, and what its rules counted",
            flags: common, arguments: [sandbox], tables: [AgentExitCode.table],
            examples: [Example("alcove network show web", "its rules, ports and open names")]),
        perform: { parsed in
            let id = parsed.argument("ID") ?? ""
            let response = try Agent(parsed).request(
                NetworksMethods.get, GetNetworkRequest(sandboxID: id),
                to: "tell the network of `\(id)`")
            StandardStream.output.write(
                parsed.isOn("json")
                    ? MessageJSON.document(response)
                    : NetworkText.network(response, width: StandardStream.output.tableWidth))
            return 0
        })

    private static let set = PerformableCommand(
        command: Command(
            "network set", summary: "replace what a sandbox may reach, while it runs",
            discussion: """
                All of its network becomes what the flags say, at once: packets see the state \
                before or after. What is not given is closed.
                """,
            flags: NetworkFlags.flags + common, arguments: [sandbox],
            tables: [AgentExitCode.table],
            examples: [
                Example(
                    "alcove network set --network public --deny tcp:0.0.0.0/0:25 web",
                    "all but mail"),
                Example(
                    "alcove network set --network closed --allow '*.example.org' web",
                    "only what these names lead to"),
            ]),
        perform: { parsed in
            guard let network = try NetworkFlags.network(parsed) else {
                throw FlagError(
                    "nothing is given that the network is to be",
                    hint: "`--network closed` closes it")
            }
            let id = parsed.argument("ID") ?? ""
            let response = try Agent(parsed).request(
                NetworksMethods.update,
                UpdateNetworkRequest(sandboxID: id, network: network),
                to: "change the network of `\(id)`")
            StandardStream.output.write(
                parsed.isOn("json") ? MessageJSON.document(response) : PlainText.line(id) + "\n")
            return 0
        })

    private static let attach = PerformableCommand(
        command: Command(
            "network attach", summary: "let a sandbox into a VPC",
            flags: [
                Flag(
                    "inbound", value: "ADDRESS",
                    help: "let it be reached from there, by an address of its own in the tunnel")
            ] + common, arguments: [sandbox, vpc], tables: [AgentExitCode.table],
            examples: [Example("alcove network attach web blue", "let it in")]),
        perform: { parsed in
            let (id, vpc) = (parsed.argument("ID") ?? "", parsed.argument("VPC") ?? "")
            let response = try Agent(parsed).request(
                NetworksMethods.attachVPC,
                AttachVPCRequest(
                    sandboxID: id, vpcID: vpc, inboundAddress: parsed.string("inbound") ?? ""),
                to: "attach `\(id)` to `\(vpc)`")
            StandardStream.output.write(
                parsed.isOn("json") ? MessageJSON.document(response) : PlainText.line(id) + "\n")
            return 0
        })

    private static let detach = PerformableCommand(
        command: Command(
            "network detach", summary: "take a sandbox out of a VPC",
            flags: common, arguments: [sandbox, vpc], tables: [AgentExitCode.table],
            examples: [Example("alcove network detach web blue", "take it out")]),
        perform: { parsed in
            let (id, vpc) = (parsed.argument("ID") ?? "", parsed.argument("VPC") ?? "")
            let response = try Agent(parsed).request(
                NetworksMethods.detachVPC, DetachVPCRequest(sandboxID: id, vpcID: vpc),
                to: "detach `\(id)` from `\(vpc)`")
            StandardStream.output.write(
                parsed.isOn("json") ? MessageJSON.document(response) : PlainText.line(id) + "\n")
            return 0
        })

    // MARK: - VPCs

    private static let join = PerformableCommand(
        command: Command(
            "network vpc join", summary: "make this node one end of a VPC's tunnel",
            discussion: """
                A proxy is UNDERLAY,TUNNEL: its address on the network that carries tunnels, and \
                the one within. A third part is its hardware address within, where that does not \
                follow from the address; a fourth its rank: those of a higher one wait for those \
                of lower ones to fail. `alcove proxy vpc ls` tells all of it.
                The same again changes nothing.
                """,
            flags: [
                Flag("vni", value: "NUMBER", help: "the tunnel's number, 1 to 16777215"),
                Flag(
                    "prefix", value: "PREFIX", repeatable: true,
                    help: "what is reached through it, as in 10.1.0.0/16"),
                Flag("tunnel", value: "ADDRESS", help: "this node's address within the tunnel"),
                Flag(
                    "underlay", value: "ADDRESS", defaultNote: "as the agent is configured",
                    help: "this node's address on the network that carries tunnels"),
                Flag(
                    "proxy", value: "UNDERLAY,TUNNEL[,HARDWARE[,RANK]]", repeatable: true,
                    help: "a proxy of the VPC"),
            ] + common, arguments: [Argument("VPC", help: "the VPC's name")],
            tables: [AgentExitCode.table],
            examples: [
                Example(
                    """
                    alcove network vpc join blue --vni 7 --prefix 10.1.0.0/16 \\
                        --tunnel 100.96.0.2 --proxy 192.0.2.10,100.96.0.1
                    """, "a VPC with one proxy")
            ]),
        perform: { parsed in
            guard let vni = try parsed.integer("vni", in: 1...16_777_215) else {
                throw FlagError("`--vni` is missing")
            }
            let id = parsed.argument("VPC") ?? ""
            let vpc = NodeVPC(
                id: id, vni: UInt32(vni), prefixes: parsed.strings("prefix"),
                tunnelAddress: parsed.string("tunnel") ?? "",
                underlayAddress: parsed.string("underlay") ?? "",
                proxies: try parsed.strings("proxy").map { try proxy($0, parsed) })
            let response = try Agent(parsed).request(
                NetworksMethods.joinVPC, JoinVPCRequest(vpc: vpc), to: "join `\(id)`")
            StandardStream.output.write(
                parsed.isOn("json") ? MessageJSON.document(response) : PlainText.line(id) + "\n")
            return 0
        })

    private static func proxy(
        _ text: String, _ parsed: ParsedCommand
    ) throws(FlagError) -> NodeVPCProxy {
        let parts = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        guard (2...4).contains(parts.count), let rank = UInt32(parts.count == 4 ? parts[3] : "0")
        else {
            throw parsed.refuse(
                "proxy", "\(PlainText.quoted(text)) is no proxy",
                hint: "write UNDERLAY,TUNNEL, as in 192.0.2.10,100.96.0.1")
        }
        return NodeVPCProxy(
            underlayAddress: parts[0], tunnelAddress: parts[1],
            tunnelHardwareAddress: parts.count > 2 ? parts[2] : "", rank: rank)
    }

    private static let leave = PerformableCommand(
        command: Command(
            "network vpc leave", summary: "take this node out of VPCs in which no sandbox is",
            flags: common,
            arguments: [Argument("VPC", repeatable: true, completes: vpcs, help: "the VPCs")],
            tables: [AgentExitCode.table],
            examples: [Example("alcove network vpc leave blue", "leave one")]),
        perform: { parsed in
            try Agent(parsed).forEach(
                parsed.arguments("VPC"), "leave", NetworksMethods.leaveVPC,
                request: { LeaveVPCRequest(id: $0) },
                then: { id, _ in
                    var object = JSONObject()
                    object["id"] = .string(id)
                    StandardStream.output.write(
                        parsed.isOn("json")
                            ? JSONWriter.text(.object(object)) + "\n" : PlainText.line(id) + "\n")
                    return 0
                })
        })

    private static let list = PerformableCommand(
        command: Command(
            "network vpc ls", summary: "list the VPCs that this node is in",
            flags: [Flag("quiet", short: "q", help: "print ids alone")] + common,
            tables: [AgentExitCode.table],
            examples: [Example("alcove network vpc ls", "with their proxies and sandboxes")]),
        perform: { parsed in
            let response = try Agent(parsed).request(
                NetworksMethods.listVPCs, ListNodeVPCsRequest(), to: "list the VPCs")
            if parsed.isOn("quiet") {
                for status in response.vpcs {
                    StandardStream.output.write((status.vpc?.id ?? "") + "\n")
                }
                return 0
            }
            StandardStream.output.write(
                parsed.isOn("json")
                    ? MessageJSON.document(response)
                    : NetworkText.vpcs(
                        response.vpcs, now: WallClock.nanoseconds,
                        width: StandardStream.output.tableWidth))
            return 0
        })
}
