import TestSupport
import Testing

@testable import SandboxModel

@Suite struct AdmissionTests {
    private static let node = Resources(
        milliCPUs: 8000, memoryBytes: 16 << 30, pids: 10_000, diskBytes: 100 << 30,
        addresses: 250, sandboxes: 200)
    private static let small = Resources(
        milliCPUs: 50, memoryBytes: 64 << 20, pids: 16, diskBytes: 64 << 20, addresses: 1,
        sandboxes: 1)

    @Test("allocatable is the total less what is kept back, times the over-commitment")
    func allocatable() {
        let kept = Resources(milliCPUs: 1000, memoryBytes: 2 << 30, sandboxes: 500)
        let result = Admission.allocatable(
            total: Self.node, keptBack: kept,
            overCommit: OverCommit(cpuPermille: 2500, memoryPermille: 500))
        #expect(result.milliCPUs == 17_500)
        #expect(result.memoryBytes == 7 << 30)
        #expect(result.pids == 10_000 && result.diskBytes == 100 << 30 && result.addresses == 250)
        #expect(result.sandboxes == 0)
        let huge = Resources(milliCPUs: .max, memoryBytes: .max - 7)
        let over = Admission.allocatable(
            total: huge, keptBack: .none,
            overCommit: OverCommit(cpuPermille: 1001, memoryPermille: 1000))
        #expect(over.milliCPUs == .max && over.memoryBytes == .max - 7)
    }

    @Test("a request is made of limits, defaults for those that are not there, and overheads")
    func request() {
        var limits = Limits()
        limits.milliCPUs = 1500
        limits.pids = 9
        let request = Resources.requested(by: limits, diskBytes: nil, defaults: Self.small)
        #expect(
            request
                == Resources(
                    milliCPUs: 1500, memoryBytes: 64 << 20, pids: 9, diskBytes: 64 << 20,
                    addresses: 1, sandboxes: 1))
        let overhead = Overhead(
            fixed: Resources(milliCPUs: 5, memoryBytes: 1 << 20, pids: 1), milliCPUsPerCPU: 3)
        let sum = overhead.added(to: request)
        // 1.5 CPUs of 3 thousandths each are 4.5, and no part of one is given away.
        #expect(sum.milliCPUs == 1500 + 5 + 5)
        #expect(sum.memoryBytes == 65 << 20 && sum.pids == 10 && sum.sandboxes == 1)
        let most = Overhead(fixed: Self.small, milliCPUsPerCPU: .max).added(
            to: Resources(milliCPUs: .max, memoryBytes: .max))
        #expect(most.milliCPUs == .max && most.memoryBytes == .max)
    }

    @Test("a refusal names all that is short, with what is free, and changes nothing")
    func shortage() {
        var admission = Admission(allocatable: Self.node)
        #expect(admission.reserve(Self.small, for: "a") == .admitted)
        var request = Self.small
        request.milliCPUs = 7951
        request.memoryBytes = .max
        let before = admission.reserved
        guard case .refused(let shortages) = admission.reserve(request, for: "b") else {
            Issue.record("it was admitted")
            return
        }
        #expect(shortages.map(\.kind) == [.cpu, .memory])
        #expect(shortages.map(\.available) == [7950, (16 << 30) - (64 << 20)])
        #expect(shortages[0].description == "cpu: 7.951 CPU asked for, 7.95 CPU free")
        #expect(admission.reserved == before && admission.reservation(of: "b") == nil)
        request.milliCPUs = 7950
        request.memoryBytes = 1
        #expect(admission.reserve(request, for: "b") == .admitted)
        #expect(admission.available.milliCPUs == 0)
    }

    @Test("a reservation changes whole or stays, and counts itself as free")
    func change() {
        var admission = Admission(allocatable: Self.node)
        let half = Resources(memoryBytes: 8 << 30)
        #expect(admission.reserve(half, for: "a") == .admitted)
        #expect(admission.reserve(half, for: "b") == .admitted)
        #expect(
            admission.reserve(Resources(memoryBytes: 9 << 30), for: "a")
                == .refused([.init(kind: .memory, requested: 9 << 30, available: 8 << 30)]))
        #expect(admission.reservation(of: "a") == half)
        #expect(admission.reserve(Resources(memoryBytes: 1), for: "a") == .admitted)
        #expect(admission.reserve(Resources(memoryBytes: 15 << 30), for: "b") == .admitted)
        #expect(admission.reserved == Resources(memoryBytes: 15 << 30 | 1))
        #expect(admission.release("b") == true)
        #expect(admission.release("b") == false)
        #expect(admission.reserved == Resources(memoryBytes: 1) && admission.count == 1)
    }

    @Test("what runs already is reserved without room, and then less may be asked, not more")
    func adopted() {
        var admission = Admission(allocatable: Self.node)
        admission.resize(to: Resources(memoryBytes: 100))
        #expect(admission.adopt(Resources(memoryBytes: 300), for: "a") == .admitted)
        #expect(admission.available == .none)
        #expect(
            admission.reserve(Resources(memoryBytes: 1), for: "b")
                == .refused([.init(kind: .memory, requested: 1, available: 0)]))
        #expect(
            admission.reserve(Resources(memoryBytes: 301), for: "a")
                == .refused([.init(kind: .memory, requested: 301, available: 100)]))
        #expect(admission.reserve(Resources(memoryBytes: 200), for: "a") == .admitted)
        #expect(
            admission.adopt(Resources(memoryBytes: .max), for: "b")
                == .refused([.init(kind: .memory, requested: .max, available: .max - 200)]))
        #expect(admission.reserved == Resources(memoryBytes: 200))
    }

    @Test("of a storm of 1,000 on room for 100, exactly 100 are admitted")
    func storm() {
        let room = Overhead(fixed: Resources(memoryBytes: 3 << 20), milliCPUsPerCPU: 10)
        let one = room.added(to: Self.small)
        for kind in Resources.Kind.allCases {
            var allocatable = Resources(
                milliCPUs: .max, memoryBytes: .max, pids: .max, diskBytes: .max, addresses: .max,
                sandboxes: .max)
            allocatable[kind] = one[kind] * 101 - 1
            var admission = Admission(allocatable: allocatable)
            var refused = 0
            for number in 0..<1000 {
                switch admission.reserve(one, for: "sandbox-\(number)") {
                case .admitted: break
                case .refused(let shortages):
                    #expect(shortages.map(\.kind) == [kind])
                    refused += 1
                }
            }
            #expect(admission.count == 100 && refused == 900)
        }
    }

    @Test("nothing is ever over-committed, and the sum is right", arguments: 0..<4 as Range<UInt64>)
    func random(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var admission = Admission(allocatable: Self.node)
        var model: [String: Resources] = [:]
        var counts = [0, 0, 0]
        for step in 0..<25_000 {
            let id = "s\(Int.random(in: 0..<150, using: &random))"
            if Int.random(in: 0..<4, using: &random) == 0 {
                let had = model.removeValue(forKey: id) != nil
                #expect(admission.release(id) == had, "seed \(seed)")
                counts[0] += 1
            } else {
                let request = Self.request(&random)
                switch admission.reserve(request, for: id) {
                case .admitted:
                    model[id] = request
                    counts[1] += 1
                case .refused(let shortages):
                    #expect(
                        !shortages.isEmpty && shortages.allSatisfy { $0.requested > $0.available })
                    counts[2] += 1
                }
            }
            // The whole sum is slow to make: now and then is enough, the error would stay.
            guard step % 100 == 0 || step > 24_900 else { continue }
            let sum = model.values.reduce(Resources.none) { $0.adding($1) }
            #expect(admission.reserved == sum && admission.count == model.count, "seed \(seed)")
            #expect(admission.reserved.subtracting(Self.node) == .none, "seed \(seed)")
        }
        #expect(counts.allSatisfy { $0 > 1000 }, "seed \(seed): \(counts)")
    }

    /// Mostly what might fit, sometimes what nobody has.
    private static func request(_ random: inout SeededRandom) -> Resources {
        var request = Resources()
        for kind in Resources.Kind.allCases {
            let part = node[kind] / UInt64.random(in: 20...400, using: &random)
            request[kind] = .random(in: 0...(part * 2), using: &random)
        }
        request.sandboxes = 1
        if Int.random(in: 0..<10, using: &random) == 0 {
            let kind = Resources.Kind.allCases[.random(in: 0..<6, using: &random)]
            request[kind] = .max - .random(in: 0...1000, using: &random)
        }
        return request
    }

    @Test("thousandths of any number are exact, or the largest there is")
    func permille() {
        #expect(UInt64(999).saturatingPermille(1000) == 999)
        #expect(UInt64.max.saturatingPermille(1000) == .max)
        #expect(UInt64.max.saturatingPermille(999) == 18_428_297_329_635_842_063)
        #expect(UInt64.max.saturatingPermille(1001) == .max)
        #expect(UInt64.max.saturatingPermille(.max) == .max)
        #expect(UInt64(1).saturatingPermille(1) == 0)
        #expect(UInt64(1).saturatingPermille(1, roundsUp: true) == 1)
        #expect(UInt64(0).saturatingPermille(.max, roundsUp: true) == 0)
    }
}
