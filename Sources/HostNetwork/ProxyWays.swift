internal import Netlink

/// How a tenant's prefixes lead to its proxies: each prefix to one group of gateways, which holds
/// those proxies that are to be used. So whatever becomes of a proxy is one message, however many
/// prefixes there are.
struct ProxyWays: Hashable, Sendable {
    /// The places of proxies among the gateways, from 1 on, by their addresses within the tunnel.
    private(set) var places: [IPv4Address: UInt8]
    /// Those that do not answer.
    var silent: Set<IPv4Address>

    init(_ plan: VPCPlan, places: [IPv4Address: UInt8] = [:], silent: Set<IPv4Address> = []) {
        self.places = [:]
        let addresses = plan.proxies.map(\.address)
        for address in addresses { self.places[address] = places[address] }
        var taken = Set(self.places.values)
        for address in addresses where self.places[address] == nil {
            // There are at most 64 proxies.
            guard let free = (1...UInt8(127)).first(where: { !taken.contains($0) }) else { break }
            taken.insert(free)
            self.places[address] = free
        }
        self.silent = silent.intersection(addresses)
    }

    /// What the kernel has of an earlier agent: who is where, and who was not used though it
    /// could have been.
    init(_ plan: VPCPlan, found hops: [NextHop], _ groups: [NextHopGroup]) {
        var places: [IPv4Address: UInt8] = [:]
        for hop in hops where hop.number >> 8 == plan.number.mark {
            places[hop.gateway] = UInt8(truncatingIfNeeded: hop.number) & 0x7F
        }
        self.init(plan, places: places)
        let members = groups.first { $0.number == plan.number.hops }?.members ?? []
        let used = plan.proxies.filter { numbers(of: $0, plan).contains(where: members.contains) }
        guard let rank = used.map(\.rank).min() else { return }
        silent = Set(
            plan.proxies.filter {
                $0.rank <= rank && places[$0.address] != nil && !used.contains($0)
            }.map(\.address))
    }

    /// Each proxy is two gateways: the kernel takes note of which flows are alive, and so leaves
    /// them where they are, in a group of more than one alone.
    private func numbers(of proxy: VPCProxy, _ plan: VPCPlan) -> [UInt32] {
        Self.numbers(of: places[proxy.address] ?? 0, plan)
    }

    private static func numbers(of place: UInt8, _ plan: VPCPlan) -> [UInt32] {
        [plan.number.hop(place), plan.number.hop(place | 0x80)]
    }

    /// Those of the lowest rank that answer. Where none does, who does not answer says nothing.
    func used(of plan: VPCPlan) -> [VPCProxy] {
        let alive = plan.proxies.filter { !silent.contains($0.address) }
        let choice = alive.isEmpty ? plan.proxies : alive
        let rank = choice.map(\.rank).min()
        return choice.filter { $0.rank == rank }
    }

    /// Sends flows to those that are used.
    func choose(_ plan: VPCPlan, in batch: inout NetlinkBatch) {
        batch.addNextHopGroup(
            NextHopGroup(
                plan.number.hops, of: used(of: plan).flatMap { numbers(of: $0, plan) }.sorted()))
    }

    /// All that leads to the proxies. What is there already is replaced.
    func lead(_ plan: VPCPlan, in batch: inout NetlinkBatch) {
        let link = plan.number.link
        for proxy in plan.proxies {
            batch.addNeighbour(Neighbour(proxy.address, at: proxy.linkAddress, on: link))
            batch.addForwarding(ForwardingEntry(proxy.linkAddress, at: proxy.node, on: link))
            for number in numbers(of: proxy, plan) {
                batch.addNextHop(
                    NextHop(number, via: proxy.address, through: link, onLink: true))
            }
        }
        choose(plan, in: &batch)
        for prefix in plan.prefixes {
            batch.addRoute(Route(to: prefix, table: plan.number.table, nextHop: plan.number.hops))
        }
    }

    /// Takes away what led to what is not in a plan any more.
    static func forget(
        _ found: Found, but plan: VPCPlan, _ ways: ProxyWays, in batch: inout NetlinkBatch
    ) {
        let (number, link) = (plan.number, plan.number.link)
        for prefix in found.prefixes.subtracting(plan.prefixes) {
            batch.deleteRoute(Route(to: prefix, table: number.table))
        }
        for place in found.places.subtracting(ways.places.values) {
            for hop in numbers(of: place, plan) { batch.deleteNextHop(hop) }
        }
        for address in found.neighbours.subtracting(plan.proxies.map(\.address)) {
            batch.deleteNeighbour(Neighbour(address, at: nil, on: link))
        }
        for address in found.linkAddresses.subtracting(plan.proxies.map(\.linkAddress)) {
            batch.deleteForwarding(ForwardingEntry(address, at: nil, on: link))
        }
    }

    /// What is there of a tenant's network, beside the tunnel itself.
    struct Found {
        var prefixes: Set<IPv4Prefix> = []
        var places: Set<UInt8> = []
        var neighbours: Set<IPv4Address> = []
        var linkAddresses: Set<LinkAddress> = []
    }

    /// What a plan made.
    func found(of plan: VPCPlan) -> Found {
        Found(
            prefixes: Set(plan.prefixes), places: Set(places.values),
            neighbours: Set(plan.proxies.map(\.address)),
            linkAddresses: Set(plan.proxies.map(\.linkAddress)))
    }
}
