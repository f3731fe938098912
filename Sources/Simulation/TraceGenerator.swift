/// Makes traces of the classes in which functions are called.
public struct TraceGenerator: Sendable {
    public enum Kind: String, CaseIterable, Sendable {
        /// Independent calls at a rate that does not change.
        case steady
        /// A rate that follows the time of day.
        case diurnal
        /// Few calls, and now and then a minute of many: the rate climbs for 5 to 20 seconds.
        case bursty
        /// Few calls, and now and then 10 to 60 at once, of which nothing told before.
        case spiky
        /// Calls tens of minutes apart: half of the functions by a timer, half by chance.
        case rare
    }

    public let seed: UInt64
    public let functionsOfEach: Int
    public let seconds: Int

    public init(seed: UInt64, functionsOfEach: Int, seconds: Int) {
        precondition(functionsOfEach > 0 && seconds > 0, "a trace of nothing")
        self.seed = seed
        self.functionsOfEach = functionsOfEach
        self.seconds = seconds
    }

    public func trace(of kinds: [Kind]) -> Trace {
        var functions: [Trace.Function] = []
        for kind in kinds {
            for number in 0..<functionsOfEach { functions.append(function(kind, number)) }
        }
        return Trace(functions: functions)
    }

    private func function(_ kind: Kind, _ number: Int) -> Trace.Function {
        // Seeds of their own: a function stays the same whatever others there are.
        var mixer = SimulatedRandom(seed: seed)
        let place = UInt64(Kind.allCases.firstIndex(of: kind) ?? 0) << 32 | UInt64(number)
        var random = SimulatedRandom(seed: mixer.next() ^ (place &* 0xD6E8_FEB8_6659_FD93))
        let memory = [128, 256, 512, 1024][Int.random(in: 0..<4, using: &random)]
        var maker = InvocationMaker(
            length: Double(seconds), typicalDuration: random.logarithmic(0.1...3), random: random)
        switch kind {
        case .steady: maker.addSteady()
        case .diurnal: maker.addDiurnal()
        case .bursty: maker.addBursty()
        case .spiky: maker.addSpiky()
        case .rare: maker.addRare(isTimed: number.isMultiple(of: 2))
        }
        return Trace.Function(
            name: "\(kind.rawValue)-\(number)", kind: kind.rawValue, memoryMiB: memory,
            invocations: maker.sorted)
    }
}

/// Draws the invocations of one function. Times are seconds.
private struct InvocationMaker {
    let length: Double
    let typicalDuration: Double
    var random: SimulatedRandom
    private var invocations: [Trace.Invocation] = []

    init(length: Double, typicalDuration: Double, random: SimulatedRandom) {
        self.length = length
        self.typicalDuration = typicalDuration
        self.random = random
    }

    var sorted: [Trace.Invocation] { invocations.sorted { $0.arrival < $1.arrival } }

    private mutating func add(at time: Double) {
        guard time < length else { return }
        let duration = typicalDuration * Mathematics.exponential(random.normal() * 0.5)
        invocations.append(
            Trace.Invocation(
                arrival: Int(time * 1e6), duration: max(1, Int(min(duration, 600) * 1e6))))
    }

    /// Independent calls from `start` on, so many a second, each kept with the probability that
    /// the time gives.
    private mutating func addCalls(
        from start: Double, to end: Double, rate: Double, share: (Double) -> Double = { _ in 1 }
    ) {
        var time = start
        while true {
            time += random.exponential(mean: 1 / rate)
            if time >= min(end, length) { return }
            if random.unit() <= share(time) { add(at: time) }
        }
    }

    mutating func addSteady() {
        addCalls(from: 0, to: length, rate: random.logarithmic(0.1...10))
    }

    mutating func addDiurnal() {
        let rate = random.logarithmic(0.2...20)
        let phase = random.unit()
        let night = random.uniform(0.02...0.2)
        addCalls(from: 0, to: length, rate: rate) { time in
            let wave = (1 - Mathematics.cosine(turns: time / 86400 + phase)) / 2
            return night + (1 - night) * wave * wave
        }
    }

    mutating func addBursty() {
        addCalls(from: 0, to: length, rate: random.logarithmic(0.05...0.5))
        let gap = random.uniform(900...2700)
        let rate = random.uniform(5...30)
        let climb = random.uniform(5...20)
        var start = random.exponential(mean: gap)
        while start < length {
            let end = start + climb + random.uniform(30...120)
            let begin = start
            addCalls(from: begin, to: end, rate: rate) { min(1, ($0 - begin) / climb) }
            start = end + random.exponential(mean: gap)
        }
    }

    mutating func addSpiky() {
        addCalls(from: 0, to: length, rate: random.logarithmic(0.05...0.5))
        let gap = random.uniform(600...2700)
        var start = random.exponential(mean: gap)
        while start < length {
            for _ in 0..<Int.random(in: 10...60, using: &random) {
                add(at: start + random.uniform(0...0.1))
            }
            start += random.exponential(mean: gap)
        }
    }

    mutating func addRare(isTimed: Bool) {
        let gap = random.uniform(900...5400)
        if !isTimed { return addCalls(from: 0, to: length, rate: 1 / gap) }
        var due = random.uniform(0...gap)
        while due < length {
            add(at: due + random.uniform(0...2))
            due += gap
        }
    }
}
