import TestSupport
import Testing

@testable import LinuxKernel

@Suite struct TimerQueueTests {
    @Test("actions come in the order of time, and none that was called off", arguments: 0..<50)
    func order(seed: UInt64) {
        var generator = SeededRandom(seed: seed)
        var queue = TimerQueue()
        var expected: [UInt64] = []
        var called: [UInt64] = []
        var actions: [ScheduledAction] = []
        for _ in 0..<200 {
            let time = UInt64.random(in: 0...1000, using: &generator)
            let action = ScheduledAction(deadline: time) { called.append(time) }
            queue.insert(action)
            actions.append(action)
            expected.append(time)
            if Bool.random(using: &generator) {
                let index = Int.random(in: 0..<actions.count, using: &generator)
                queue.remove(actions[index])
                queue.remove(actions.remove(at: index))
                expected.remove(at: index)
            }
        }
        expected.sort()
        #expect(queue.earliest == expected.first, "seed \(seed)")
        let now: UInt64 = 500
        while let action = queue.takeDue(at: now) { action() }
        #expect(called == expected.filter { $0 <= now }, "seed \(seed)")
        while let action = queue.takeDue(at: .max) { action() }
        #expect(called == expected && queue.count == 0, "seed \(seed)")
    }
}
