/// When the other end of a tunnel is taken for dead, and when for alive again.
public struct LivenessRules: Hashable, Sendable {
    /// So many requests in a row without an answer.
    public var losses: Int
    /// So many answers in a row. Twice as many each time that it dies soon after it came back.
    public var answers: Int
    public var mostAnswers: Int
    /// How long it has to be alive for that to be forgotten, in nanoseconds.
    public var calm: UInt64

    public init(
        losses: Int = 3, answers: Int = 2, mostAnswers: Int = 128, calm: UInt64 = 60_000_000_000
    ) {
        self.losses = max(1, losses)
        self.answers = max(1, answers)
        self.mostAnswers = max(self.answers, mostAnswers)
        self.calm = calm
    }
}

/// Whether the other end of a tunnel answers, by the requests and answers that it is told of. It
/// knows no clock: points of time are its user's, in nanoseconds.
public struct Liveness: Hashable, Sendable {
    public private(set) var isAlive: Bool
    /// When that began.
    public private(set) var since: UInt64
    public private(set) var sent: UInt64 = 0
    /// Requests that were not answered before the next one was sent.
    public private(set) var lost: UInt64 = 0
    /// How long answers take, of which the newest counts an eighth, in nanoseconds.
    public private(set) var roundTrip: UInt64?

    private let rules: LivenessRules
    private var last: UInt16 = 0
    private var sentAt: UInt64 = 0
    /// How many of the last requests have no answer.
    private var unanswered = 0
    private var answersInARow = 0
    private var answersNeeded: Int

    public init(_ rules: LivenessRules = LivenessRules(), isAlive: Bool, at now: UInt64) {
        self.rules = rules
        self.isAlive = isAlive
        since = now
        answersNeeded = rules.answers
    }

    /// Looks at what the last request came to, before the next one. True when it is dead from now
    /// on.
    public mutating func judge(at now: UInt64) -> Bool {
        guard unanswered > 0 else { return false }
        lost += 1
        answersInARow = 0
        guard isAlive, unanswered >= rules.losses else { return false }
        let wasCalm = now &- since >= rules.calm
        answersNeeded =
            wasCalm || sent == UInt64(unanswered)
            ? rules.answers : min(answersNeeded * 2, rules.mostAnswers)
        isAlive = false
        since = now
        return true
    }

    /// The number of the next request, which is sent now.
    public mutating func request(at now: UInt64) -> UInt16 {
        last &+= 1
        sent += 1
        sentAt = now
        unanswered += 1
        return last
    }

    /// An answer has come. True when it is alive from now on.
    public mutating func answer(_ number: UInt16, at now: UInt64) -> Bool {
        let age = Int(last &- number)
        // One that came twice, or that nobody asked for.
        guard age < unanswered else { return false }
        unanswered = age
        // What comes late is a sign of life, and no more.
        guard age == 0 else { return false }
        let span = now &- sentAt
        roundTrip = roundTrip.map { $0 - $0 / 8 + span / 8 } ?? span
        answersInARow += 1
        guard !isAlive, answersInARow >= answersNeeded else { return false }
        isAlive = true
        since = now
        return true
    }
}

/// Messages by which the other end is asked. Corresponds to `ICMP_ECHO` and `ICMP_ECHOREPLY`.
public enum EchoMessage {
    private static let header = 8

    /// The kernel writes the sum and the sender's number.
    public static func request(_ number: UInt16, _ content: [UInt8]) -> [UInt8] {
        [8, 0, 0, 0, 0, 0, UInt8(number >> 8), UInt8(number & 0xFF)] + content
    }

    /// The number that is answered, with the same content. Nothing for what is no answer.
    public static func answer(_ bytes: [UInt8], with content: [UInt8]) -> UInt16? {
        guard bytes.count == header + content.count, bytes[0] == 0, bytes[1] == 0,
            bytes[header...].elementsEqual(content)
        else { return nil }
        return UInt16(bytes[6]) << 8 | UInt16(bytes[7])
    }
}
