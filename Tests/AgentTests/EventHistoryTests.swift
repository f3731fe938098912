import Testing

@testable import Agent

@Suite struct EventHistoryTests {
    private static func event(_ number: UInt64, bytes: Int = 1) -> EventHistory.Kept {
        EventHistory.Kept(
            number: number, sandboxID: "", bytes: Array(repeating: 0, count: bytes))
    }

    /// Events on the disk, which the history asks for.
    private final class Disk {
        var events: [EventHistory.Kept] = []
        var readings = 0

        func read(_ from: UInt64, _ limit: Int) -> [EventHistory.Kept] {
            readings += 1
            return Array(events.filter { $0.number >= from }.prefix(limit))
        }
    }

    private static func history(_ disk: Disk, last: UInt64 = 0) -> EventHistory {
        EventHistory(oldest: 1, last: last) { disk.read($0, $1) }
    }

    @Test("events come in order and whole, from memory or from the disk")
    func order() throws {
        let disk = Disk()
        let history = Self.history(disk)
        let count = UInt64(5 * EventHistory.recentLimit)
        for number in 1...count {
            let event = Self.event(number)
            disk.events.append(event)
            history.publish([event])
        }
        var next: UInt64 = 1
        while let events = history.events(from: next, limit: 100), !events.isEmpty {
            #expect(events.map(\.number) == Array(next..<(next + UInt64(events.count))))
            next += UInt64(events.count)
        }
        #expect(next == count + 1 && history.last == count)
        let readings = disk.readings
        #expect(history.events(from: count, limit: 10)?.count == 1)
        #expect(disk.readings == readings, "the newest are in memory")
    }

    @Test("few large events take no more memory than many small ones")
    func bytes() {
        let disk = Disk()
        let history = Self.history(disk)
        for number in 1...UInt64(100) {
            let event = Self.event(number, bytes: 256 << 10)
            disk.events.append(event)
            history.publish([event])
        }
        #expect(history.events(from: 1, limit: 1)?.first?.number == 1)
        #expect(disk.readings == 1)
        #expect(history.events(from: 60, limit: 1)?.first?.number == 60)
        #expect(disk.readings == 2, "at most \(2 * EventHistory.recentBytesLimit) bytes stay")
        #expect(history.events(from: 100, limit: 1)?.first?.number == 100)
        #expect(disk.readings == 2)
        // One that is larger than all that may stay.
        history.publish([Self.event(101, bytes: 3 * EventHistory.recentBytesLimit)])
        #expect(history.last == 101)
    }

    @Test("what is forgotten is said to be so, and the next event is none yet")
    func bounds() {
        let disk = Disk()
        let history = Self.history(disk, last: 7)
        #expect(history.events(from: 8, limit: 1)?.isEmpty == true)
        #expect(history.events(from: .max, limit: 1)?.isEmpty == true)
        history.trimmed(to: 4)
        history.trimmed(to: 2)
        #expect(history.oldest == 4)
        #expect(history.events(from: 3, limit: 1) == nil)
    }

    @Test("watchers are told of each publication until they leave, also from within")
    func watchers() {
        let history = Self.history(Disk())
        var told = [0, 0]
        var second: UInt64?
        let first = history.addWatcher {
            told[0] += 1
            if let second { history.removeWatcher(second) }
        }
        second = history.addWatcher { told[1] += 1 }
        history.publish([Self.event(1), Self.event(2)])
        history.publish([])
        history.publish([Self.event(3)])
        #expect(told[0] == 2 && told[1] <= 1)
        history.removeWatcher(first)
        history.publish([Self.event(4)])
        #expect(told[0] == 2)
    }
}
