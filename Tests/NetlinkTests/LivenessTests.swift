import Netlink
import TestSupport
import Testing

struct LivenessTests {
    /// One request and what becomes of it, each a millisecond after the other.
    private final class Clock {
        private(set) var liveness = Liveness(
            LivenessRules(calm: 1_000_000_000), isAlive: true, at: 0)
        private var now: UInt64 = 0

        func request() -> (died: Bool, number: UInt16) {
            now += 1_000_000
            return (liveness.judge(at: now), liveness.request(at: now))
        }

        func answer(_ number: UInt16) -> Bool { liveness.answer(number, at: now + 1000) }

        /// True for a change.
        func turn(answered: Bool) -> Bool {
            let (died, number) = request()
            return answered ? answer(number) : died
        }
    }

    @Test("it is dead after some losses in a row, and one answer between begins anew")
    func death() {
        let clock = Clock()
        for _ in 0..<3 {
            for answered in [true, false, false] {
                let changed = clock.turn(answered: answered)
                #expect(!changed && clock.liveness.isAlive)
            }
        }
        #expect(clock.liveness.lost == 5)
        for turn in 0..<10 {
            let died = clock.turn(answered: false)
            #expect(died == (turn == 1))
        }
        #expect(!clock.liveness.isAlive)
        #expect(clock.liveness.since == 11_000_000)
        #expect(clock.liveness.roundTrip == 1000)
    }

    @Test("each death soon after a return asks for twice as many answers, until it was calm")
    func flapping() {
        let clock = Clock()
        func turns(_ answered: Bool) -> Int {
            var turns = 1
            while !clock.turn(answered: answered) { turns += 1 }
            return turns
        }
        for _ in 0..<1000 { _ = clock.turn(answered: true) }
        var needed: [Int] = []
        for _ in 0..<9 {
            #expect(turns(false) == 4)
            needed.append(turns(true))
        }
        #expect(needed == [2, 4, 8, 16, 32, 64, 128, 128, 128])
        for _ in 0..<1000 { _ = clock.turn(answered: true) }
        #expect(turns(false) == 4)
        #expect(turns(true) == 2)
    }

    @Test("an answer that is late is a sign of life, and one that comes twice or unasked is none")
    func answers() {
        let clock = Clock()
        var numbers: [UInt16] = []
        for turn in 0..<6 {
            let (died, number) = clock.request()
            numbers.append(number)
            #expect(!died)
            if turn > 0 { #expect(!clock.answer(numbers[turn - 1])) }
        }
        #expect(clock.liveness.isAlive && clock.liveness.lost == 5)
        #expect(clock.liveness.roundTrip == nil)
        // None of these is an answer to the last.
        for number in [numbers[0], numbers[4], numbers[5] &+ 1, 9999] {
            #expect(!clock.answer(number))
        }
        #expect([false, false, true] == (0..<3).map { _ in clock.request().died })
    }

    @Test("what never answered is asked for no more answers than others")
    func neverThere() {
        let clock = Clock()
        for _ in 0..<10 { _ = clock.turn(answered: false) }
        #expect(!clock.liveness.isAlive)
        #expect(!clock.turn(answered: true))
        let isBack = clock.turn(answered: true)
        #expect(isBack)
    }

    @Test("messages hold a number and what was sent along")
    func messages() {
        let request = EchoMessage.request(0x1234, [1, 2, 3])
        #expect(request == [8, 0, 0, 0, 0, 0, 0x12, 0x34, 1, 2, 3])
        var answer = request
        answer[0] = 0
        #expect(EchoMessage.answer(answer, with: [1, 2, 3]) == 0x1234)
        #expect(EchoMessage.answer(request, with: [1, 2, 3]) == nil)
        #expect(EchoMessage.answer(answer, with: [1, 2, 4]) == nil)
        #expect(EchoMessage.answer(answer, with: [1, 2]) == nil)
        #expect(EchoMessage.answer([], with: []) == nil)
    }
}
