internal import AgentAPI
internal import AgentOperations
internal import LinuxKernel
internal import Netlink

/// Watches the other proxies of a VPC through its tunnel, and has the fixed addresses taken or
/// given up by what it hears. And its uplink: without one, a proxy does not say that it is alive.
/// Belongs to the loop's thread.
final class PeerWatch: @unchecked Sendable {
    private static let interval = Duration.milliseconds(200)
    /// Where there is nobody to ask.
    private static let intervalAlone = Duration.seconds(1)
    /// One that is back is believed soon, however often it went: nodes and all proxies have to
    /// come to the same, and not long after each other.
    private static let rules = LivenessRules(mostAnswers: 2)
    /// Looks are as frequent as requests only when somebody is silent, or was.
    private static let looksBetween = 5
    /// When others are told who has the addresses, counted in intervals: those who heard it from
    /// somebody else in the meantime, or did not hear it, hear it again.
    private static let announcements: Set = [1, 2, 4, 8, 16, 32]
    private static let announcementsLater = 50

    // What it is part of lasts as long as the loop runs.
    private unowned let node: ProxyNode
    private unowned let managed: ManagedNetwork
    private var liveness: [IPv4Address: Liveness] = [:]
    private let content: [UInt8]
    private var role: EgressRole
    private var socket: InternetSocket?
    private var watch: Watch?
    private var timer: ScheduledAction?
    private var turn = 0
    /// Intervals since others were told for the first time.
    private var announced = 0
    private var isOpening = false
    private var isLooking = false
    private var isMoving = false
    private var isClosed = false

    init(_ managed: ManagedNetwork, of node: ProxyNode) {
        self.node = node
        self.managed = managed
        // One that gave the addresses up has to hear something first, whichever program it is.
        role = EgressRole(rank: managed.network.rank, isTrusted: managed.holds)
        var random = SystemRandomNumberGenerator()
        content = (0..<8).map { _ in UInt8.random(in: 0...255, using: &random) }
        let now = MonotonicClock.nanoseconds
        for other in managed.network.peers {
            liveness[other.tunnel] = Liveness(Self.rules, isAlive: true, at: now)
        }
    }

    private var id: String { managed.network.id }
    private var isAlone: Bool { managed.network.peers.isEmpty }

    func begin() {
        open()
        schedule()
    }

    func close() {
        isClosed = true
        watch?.cancel()
        watch = nil
        socket = nil
        if let timer { node.loop.cancel(timer) }
        timer = nil
    }

    /// What is known of the others, as it is told.
    var health: [PeerHealth] {
        let (now, wall) = (MonotonicClock.nanoseconds, WallClock.nanoseconds)
        return managed.network.peers.compactMap { other in
            liveness[other.tunnel].map {
                PeerHealth(
                    tunnelAddress: "\(other.tunnel)", isAlive: $0.isAlive,
                    sinceNanoseconds: wall - Int64(clamping: now - $0.since), requests: $0.sent,
                    lostRequests: $0.lost, roundTripNanoseconds: $0.roundTrip ?? 0)
            }
        }
    }

    private var peers: [EgressRole.Peer] {
        managed.network.peers.map {
            EgressRole.Peer(
                name: "\($0.tunnel)", rank: $0.rank,
                isAlive: liveness[$0.tunnel]?.isAlive ?? false)
        }
    }

    private func open() {
        guard !isAlone, !isOpening else { return }
        isOpening = true
        let (host, id) = (node.host, id)
        node.offload { () throws(HostFailure) in
            try host.echoes(of: id)
        } then: { [weak self] result in
            guard let self, !isClosed else { return }
            isOpening = false
            guard case .success(let socket) = result else { return }
            self.socket = socket
            watch = try? node.loop.watch(socket.descriptor, for: .readable) { [weak self] _ in
                self?.listen()
            }
        }
    }

    // MARK: - Asking

    private func schedule() {
        let interval = isAlone ? Self.intervalAlone : Self.interval
        timer = node.loop.schedule(after: interval) { [weak self] in self?.tick() }
    }

    private func tick() {
        turn += 1
        if socket == nil { open() }
        // What waits to be read, because the thread had other things to do, is not lost.
        listen()
        var isSilent = false
        for other in managed.network.peers {
            let now = MonotonicClock.nanoseconds
            let lost = liveness[other.tunnel]?.lost
            if liveness[other.tunnel]?.judge(at: now) == true { tell(of: other, isAlive: false) }
            isSilent = isSilent || liveness[other.tunnel]?.lost != lost
            guard let number = liveness[other.tunnel]?.request(at: now) else { continue }
            // What cannot be sent is not answered.
            _ = socket?.send(
                EchoMessage.request(number, content),
                to: InternetAddress(other.tunnel.rawValue, port: 0))
        }
        // Whether it is cut off itself is known behind a look.
        let looks =
            isAlone || isSilent || role.mayBeCutOff || turn.isMultiple(of: Self.looksBetween)
        if looks { look() } else { decide() }
        announce()
        schedule()
    }

    /// So many at most, and then others' turn.
    private static let atOnce = 64

    private func listen() {
        guard let socket else { return }
        for _ in 0..<Self.atOnce {
            let received: ([UInt8], InternetAddress)?
            do throws(SystemCallError) {
                received = try socket.receive(limit: 64)
            } catch {
                // That somebody on the way refused one is told once for each.
                continue
            }
            guard let (bytes, sender) = received else { return }
            let address = IPv4Address(rawValue: sender.address)
            guard let number = EchoMessage.answer(bytes, with: content),
                let other = managed.network.peers.first(where: { $0.tunnel == address })
            else { continue }
            let now = MonotonicClock.nanoseconds
            guard liveness[address]?.answer(number, at: now) == true else { continue }
            tell(of: other, isAlive: true)
            // It may have had the addresses while it was not heard.
            announced = 0
            decide()
        }
    }

    private func tell(of other: OtherProxy, isAlive: Bool) {
        node.log.warning(
            isAlive ? "another proxy is back" : "another proxy does not answer",
            ["vpc.id": .text(id), "peer.address": .text("\(other.tunnel)")])
    }

    private func look() {
        guard !isLooking else { return }
        isLooking = true
        let (host, id) = (node.host, id)
        node.offload { () throws(HostFailure) in
            try host.look(at: id)
        } then: { [weak self] result in
            guard let self, !isClosed else { return }
            isLooking = false
            if case .success(let look) = result {
                let mightBeCutOff = role.mayBeCutOff
                role.look(received: look.received, isUplinkUp: look.isUplinkUp)
                // What it could not tell until now.
                if mightBeCutOff, !role.mayBeCutOff { announced = 0 }
            }
            decide()
        }
    }

    // MARK: - Taking and giving

    private var verdict: EgressRole.Verdict {
        role.verdict(holds: managed.holds, peers: peers, hasNodes: !managed.nodes.isEmpty)
    }

    private func decide() {
        guard !isMoving, managed.state == .ready else { return }
        guard verdict.holds != managed.holds || role.isUplinkUp != managed.answers else { return }
        isMoving = true
        do throws(CallFailure) {
            try node.enqueue(id) { [weak self] done in
                guard let self, !isClosed else { return done() }
                move(done)
            }
        } catch {
            // At the next interval.
            isMoving = false
        }
    }

    private func move(_ done: @escaping () -> Void) {
        let (before, answered, wanted) = (managed.holds, managed.answers, verdict)
        managed.holds = wanted.holds
        managed.answers = role.isUplinkUp
        let steps = NetworkPlan.move(
            managed, holds: before == wanted.holds ? nil : wanted.holds,
            answers: answered == managed.answers ? nil : managed.answers)
        node.change(managed, steps) { [self] failure in
            isMoving = false
            announced = 0
            if let failure {
                managed.holds = before
                managed.answers = answered
                node.log.error(
                    "fixed addresses could not be moved",
                    ["vpc.id": .text(id), "error": LogValue(failure)])
            } else if before != wanted.holds {
                node.record(wanted, of: managed)
            }
            done()
        }
    }

    private func announce() {
        announced += 1
        let isTime =
            Self.announcements.contains(announced)
            || announced.isMultiple(of: Self.announcementsLater)
        guard !isAlone, managed.holds, managed.state == .ready, isTime,
            role.mayAnnounce(peers: peers)
        else {
            return
        }
        let (host, id) = (node.host, id)
        node.offload { () throws(HostFailure) in
            try host.perform([.announce], for: id)
        } then: { _ in
            // It is done again, whatever became of it.
        }
    }
}

extension ProxyNode {
    /// Begins to watch the other proxies of a VPC that is whole, anew if it did already.
    func watchPeers(of managed: ManagedNetwork) {
        managed.watch?.close()
        let watch = PeerWatch(managed, of: self)
        managed.watch = watch
        watch.begin()
    }

    /// Writes down that fixed addresses came or went.
    func record(_ verdict: EgressRole.Verdict, of managed: ManagedNetwork) {
        let id = managed.network.id
        log.warning(
            verdict.holds ? "took the fixed addresses" : "gave up the fixed addresses",
            ["vpc.id": .text(id), "reason": .text(verdict.reason)])
        do throws(CallFailure) {
            try journal.commit {
                $0.add(
                    .egressMoved(.init(isHere: verdict.holds, reason: verdict.reason)), of: id)
            }
        } catch {
            log.error(
                "the record cannot be written", ["vpc.id": .text(id), "error": LogValue(error)])
        }
    }
}

extension NetworkPlan {
    /// What it takes to have the fixed addresses from now on, or no longer, and to answer those who
    /// ask whether the proxy is alive.
    static func move(
        _ managed: ManagedNetwork, holds: Bool?, answers: Bool?
    ) -> [NetworkStep] {
        let uplink = WantedNetwork.uplinkName
        let (network, moving) = (managed.network, managed.moving.sorted())
        var steps: [NetworkStep] = []
        if answers == false { steps.append(.silence(network.tunnel.address)) }
        if holds == true {
            steps += moving.map { .add($0, link: uplink) } + [.announce]
        } else if holds == false {
            steps += moving.map { .remove($0, link: uplink) }
        }
        if answers == true { steps.append(.answer(network.tunnel.address)) }
        return steps
    }
}
