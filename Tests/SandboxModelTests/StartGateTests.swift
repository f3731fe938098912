import SandboxModel
import TestSupport
import Testing

@Suite struct StartGateTests {
    @Test("as many go as may, then they wait in their order, then it is full")
    func order() {
        var gate = StartGate<Int>(limit: 2, queueLimit: 2)
        #expect(gate.request(1, at: 0, deadline: 100) == .go)
        #expect(gate.request(2, at: 0, deadline: 100) == .go)
        #expect(gate.request(3, at: 0, deadline: 100) == .queued(ahead: 0))
        #expect(gate.request(4, at: 0, deadline: 90) == .queued(ahead: 1))
        #expect(gate.request(5, at: 0, deadline: 100) == .full)
        #expect(gate.inFlightCount == 2 && gate.queuedCount == 2 && gate.nextDeadline == 90)
        #expect(gate.finish(2, at: 10) == .init(started: [3], expired: []))
        #expect(gate.finish(9, at: 10) == .init())
        #expect(gate.finish(1, at: 20) == .init(started: [4], expired: []))
        #expect(gate.finish(3, at: 20) == .init())
        #expect(gate.finish(4, at: 20) == .init())
        #expect(gate.inFlightCount == 0 && gate.nextDeadline == nil)
    }

    @Test("who waited too long does not go on, not even when there is room in that moment")
    func deadlines() {
        var gate = StartGate<Int>(limit: 1, queueLimit: 10)
        #expect(gate.request(1, at: 5, deadline: 5) == .late)
        #expect(gate.request(1, at: 5, deadline: 6) == .go)
        #expect(gate.request(2, at: 5, deadline: 20) == .queued(ahead: 0))
        #expect(gate.request(3, at: 5, deadline: 10) == .queued(ahead: 1))
        #expect(gate.request(4, at: 5, deadline: 30) == .queued(ahead: 2))
        #expect(gate.advance(at: 9) == .init())
        #expect(gate.advance(at: 10) == .init(started: [], expired: [3]))
        #expect(gate.finish(1, at: 20) == .init(started: [4], expired: [2]))
    }

    @Test("who gives up leaves its place, and the limit can change")
    func changes() {
        var gate = StartGate<Int>(limit: 1, queueLimit: 10)
        for id in 1...4 { _ = gate.request(id, at: 0, deadline: 50) }
        #expect([3, 3, 1].map { gate.withdraw($0) } == [true, false, false])
        gate.resize(to: 2)
        #expect(gate.request(5, at: 0, deadline: 50) == .queued(ahead: 2))
        #expect(gate.advance(at: 1) == .init(started: [2], expired: []))
        gate.resize(to: 1)
        #expect(gate.finish(1, at: 2) == .init())
        #expect(gate.finish(2, at: 2) == .init(started: [4], expired: []))
        gate.resizeQueue(to: 1)
        #expect(gate.request(6, at: 2, deadline: 50) == .full)
        #expect(gate.finish(4, at: 3) == .init(started: [5], expired: []))
        #expect(gate.request(6, at: 3, deadline: 50) == .queued(ahead: 0))
    }

    @Test("an id that is there already, and a gate without places, trap")
    func broken() async {
        await #expect(processExitsWith: .failure) {
            var gate = StartGate<Int>(limit: 1, queueLimit: 1)
            _ = gate.request(1, at: 0, deadline: 9)
            _ = gate.request(1, at: 0, deadline: 9)
        }
        await #expect(processExitsWith: .failure) {
            _ = StartGate<Int>(limit: 0, queueLimit: 1)
        }
        await #expect(processExitsWith: .failure) {
            var gate = StartGate<Int>(limit: 1, queueLimit: 1)
            gate.resize(to: 0)
        }
        await #expect(processExitsWith: .failure) {
            var gate = StartGate<Int>(limit: 1, queueLimit: 1)
            gate.resizeQueue(to: -1)
        }
    }

    @Test("whatever happens, each is answered once and in order", arguments: 0..<8 as Range<UInt64>)
    func random(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let comment: Comment = "seed \(seed)"
        var gate = StartGate<Int>(limit: 4, queueLimit: 12)
        var now: UInt64 = 0
        var going: [Int] = []
        var waiting: [(id: Int, deadline: UInt64)] = []
        func take(_ progress: StartGate<Int>.Progress) {
            #expect(progress.expired == waiting.filter { $0.deadline <= now }.map(\.id), comment)
            waiting.removeAll { $0.deadline <= now }
            #expect(progress.started == waiting.prefix(4 - going.count).map(\.id), comment)
            going += progress.started
            waiting.removeFirst(progress.started.count)
        }
        for id in 0..<5000 {
            now += .random(in: 0...3, using: &random)
            take(gate.advance(at: now))
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<6:
                let deadline = now + .random(in: 0...40, using: &random)
                switch gate.request(id, at: now, deadline: deadline) {
                case .go: going.append(id)
                case .queued(let ahead):
                    #expect(ahead == waiting.count, comment)
                    waiting.append((id, deadline))
                case .full: #expect(waiting.count == 12, comment)
                case .late: #expect(deadline <= now, comment)
                }
            case 6..<9:
                guard let index = going.indices.randomElement(using: &random) else { continue }
                let finished = going.remove(at: index)
                take(gate.finish(finished, at: now))
            default:
                guard let index = waiting.indices.randomElement(using: &random) else { continue }
                let id = waiting.remove(at: index).id
                #expect(gate.withdraw(id) == true, comment)
            }
            #expect(gate.inFlightCount == going.count && going.count <= 4, comment)
            #expect(gate.queuedCount == waiting.count && waiting.count <= 12, comment)
            #expect(gate.nextDeadline == waiting.map(\.deadline).min(), comment)
            #expect(waiting.isEmpty || going.count == 4, comment)
        }
    }
}
