public import LinuxKernel
public import Netlink

/// How proxies are asked whether they are alive.
public struct ProxyProberSettings: Sendable {
    /// How often each is asked.
    public var interval: Duration
    /// How often all together are asked at most, in a second: with more of them each is asked less
    /// often.
    public var mostRequests: Int
    public var rules: LivenessRules

    public init(
        interval: Duration = .milliseconds(200), mostRequests: Int = 4000,
        rules: LivenessRules = LivenessRules()
    ) {
        self.interval = interval
        self.mostRequests = mostRequests
        self.rules = rules
    }
}

/// A proxy that has died or come back.
public struct ProxyChange: Hashable, Sendable {
    public let vpc: VPCNumber
    public let proxy: VPCProxy
    public let isAlive: Bool
    /// Those that flows go to from now on.
    public let used: [VPCProxy]
}

/// What is known of a proxy.
public struct ProxyHealth: Hashable, Sendable {
    public let proxy: VPCProxy
    public let liveness: Liveness
    /// Whether flows go to it.
    public let isUsed: Bool
}

/// Asks the proxies of tenants' networks whether they are alive, through the tunnels, and has
/// flows go to those that are. What it costs follows from the number of proxies, not of sandboxes.
///
/// It belongs to its loop's thread.
public final class ProxyProber {
    /// Into how many moments an interval is divided. Networks take turns with them, so that not all
    /// are asked at once, and the thread wakes up no more often than that.
    private static let moments = 10

    private let network: HostNetwork
    private let loop: EventLoop
    private let settings: ProxyProberSettings
    private let onChange: (ProxyChange) -> Void
    /// Told from what others send by it.
    private let content: [UInt8]
    private var tunnels: [VPCNumber: Tunnel] = [:]
    private var turn = 0
    private var timer: ScheduledAction?

    /// One network's.
    private final class Tunnel {
        let plan: VPCPlan
        let moment: Int
        let socket: InternetSocket
        var watch: Watch?
        var liveness: [IPv4Address: Liveness] = [:]
        /// The kernel has not been told of a change.
        var isBehind = false

        init(_ plan: VPCPlan, moment: Int, socket: InternetSocket) {
            self.plan = plan
            self.moment = moment
            self.socket = socket
        }
    }

    /// Begins to ask. It is called on the loop's thread, or before the loop runs.
    ///
    /// - Parameter onChange: is called on the loop's thread, when flows have been sent elsewhere.
    public init(
        _ network: HostNetwork, _ settings: ProxyProberSettings = ProxyProberSettings(),
        on loop: EventLoop, onChange: @escaping (ProxyChange) -> Void = { _ in }
    ) throws(HostNetworkError) {
        guard settings.interval >= .milliseconds(10), settings.mostRequests > 0 else {
            throw .refused(reason: "proxies cannot be asked more often than each 10 ms")
        }
        self.network = network
        self.settings = settings
        self.loop = loop
        self.onChange = onChange
        var random = SystemRandomNumberGenerator()
        content = UInt32.random(in: 0...(.max), using: &random).nativeBytes
        try refresh()
    }

    /// Takes note of what networks there are, and which proxies they have. Its user calls it after
    /// each change of those.
    public func refresh() throws(HostNetworkError) {
        let plans = network.vpcs
        let numbers = Set(plans.map(\.number))
        for (number, tunnel) in tunnels where !numbers.contains(number) {
            tunnel.watch?.cancel()
            tunnels[number] = nil
        }
        for plan in plans where tunnels[plan.number]?.plan != plan { try take(plan) }
        guard timer == nil, !tunnels.isEmpty else { return }
        schedule()
    }

    private func take(_ plan: VPCPlan) throws(HostNetworkError) {
        let old = tunnels[plan.number]
        let socket = try withSystem { () throws(SystemCallError) in
            let socket = try InternetSocket(.echoes, in: network.router)
            try socket.bind(toLink: plan.number.link.rawValue)
            try socket.bind(to: InternetAddress(plan.address.rawValue, port: 0))
            return socket
        }
        let moment = old?.moment ?? Int(plan.number.rawValue) % Self.moments
        let tunnel = Tunnel(plan, moment: moment, socket: socket)
        var rules = settings.rules
        // Those of different ranks have an address together, which one of them takes when the other
        // is silent: nodes have to come to the same as they, not later.
        if Set(plan.proxies.map(\.rank)).count > 1 { rules.mostAnswers = rules.answers }
        let (silent, now) = (network.silentProxies(of: plan.number), MonotonicClock.nanoseconds)
        for proxy in plan.proxies {
            tunnel.liveness[proxy.address] =
                old?.liveness[proxy.address]
                ?? Liveness(
                    rules, isAlive: !silent.contains(proxy.address), at: now)
        }
        old?.watch?.cancel()
        tunnels[plan.number] = tunnel
        tunnel.watch = try withSystem { () throws(SystemCallError) in
            try loop.watch(socket.descriptor, for: .readable) { [weak self, weak tunnel] _ in
                if let self, let tunnel { listen(tunnel) }
            }
        }
    }

    /// What is known of the proxies of a tenant's network, in the order of its plan.
    public func health(of number: VPCNumber) -> [ProxyHealth] {
        guard let tunnel = tunnels[number] else { return [] }
        let used = Set(network.usedProxies(of: number))
        return tunnel.plan.proxies.compactMap { proxy in
            tunnel.liveness[proxy.address].map {
                ProxyHealth(proxy: proxy, liveness: $0, isUsed: used.contains(proxy))
            }
        }
    }

    /// Ends all that it does. Flows go where they go.
    public func close() {
        timer.map(loop.cancel)
        timer = nil
        for tunnel in tunnels.values { tunnel.watch?.cancel() }
        tunnels = [:]
    }

    // MARK: - Asking

    private func schedule() {
        let count = tunnels.values.reduce(0) { $0 + $1.plan.proxies.count }
        let least = Duration.seconds(1) * count / settings.mostRequests
        timer = loop.schedule(after: max(settings.interval, least) / Self.moments) { [weak self] in
            self?.ask()
        }
    }

    private func ask() {
        timer = nil
        turn = (turn + 1) % Self.moments
        for tunnel in Array(tunnels.values) where tunnel.moment == turn { ask(tunnel) }
        if !tunnels.isEmpty { schedule() }
    }

    private func ask(_ tunnel: Tunnel) {
        // What waits to be read, because the thread had other things to do, is not lost.
        listen(tunnel)
        for proxy in tunnel.plan.proxies {
            let now = MonotonicClock.nanoseconds
            let died = tunnel.liveness[proxy.address]?.judge(at: now) ?? false
            if died { change(proxy, of: tunnel) }
            guard let number = tunnel.liveness[proxy.address]?.request(at: now) else { continue }
            // What cannot be sent is not answered.
            _ = tunnel.socket.send(
                EchoMessage.request(number, content),
                to: InternetAddress(proxy.address.rawValue, port: 0))
        }
        if tunnel.isBehind { tell(tunnel) }
    }

    /// So many at most, and then others' turn.
    private static let atOnce = 256

    private func listen(_ tunnel: Tunnel) {
        for _ in 0..<Self.atOnce {
            let received: ([UInt8], InternetAddress)?
            do throws(SystemCallError) {
                received = try tunnel.socket.receive(limit: 64)
            } catch {
                // That somebody on the way refused one is told once for each.
                continue
            }
            guard let (bytes, sender) = received else { return }
            let address = IPv4Address(rawValue: sender.address)
            guard let number = EchoMessage.answer(bytes, with: content),
                let proxy = tunnel.plan.proxies.first(where: { $0.address == address })
            else { continue }
            let now = MonotonicClock.nanoseconds
            if tunnel.liveness[address]?.answer(number, at: now) == true {
                change(proxy, of: tunnel)
            }
        }
    }

    private func change(_ proxy: VPCProxy, of tunnel: Tunnel) {
        tell(tunnel)
        onChange(
            ProxyChange(
                vpc: tunnel.plan.number, proxy: proxy,
                isAlive: tunnel.liveness[proxy.address]?.isAlive ?? false,
                used: network.usedProxies(of: tunnel.plan.number)))
    }

    /// What the kernel does not take now it is told again at the next turn.
    private func tell(_ tunnel: Tunnel) {
        let silent = tunnel.liveness.filter { !$0.value.isAlive }.map(\.key)
        do throws(HostNetworkError) {
            try network.setSilent(Set(silent), of: tunnel.plan.number)
            tunnel.isBehind = false
        } catch {
            tunnel.isBehind = true
        }
    }
}
