internal import LinuxKernel

/// What a guest's kernel says: the end of it is kept, and all of it may be passed on, within
/// bounds.
public final class GuestConsole: Sendable {
    private struct State {
        var tail: [UInt8] = []
        var line: [UInt8] = []
        var passed = 0
    }

    /// So much of the end is kept.
    static let mostTail = 8192
    private static let mostLine = 256
    private let state = Locked(State())
    private let sink: (@Sendable ([UInt8]) -> Void)?
    private let mostPassed: Int

    /// - Parameters:
    ///   - sink: gets whole lines, on the thread that has them.
    ///   - mostBytes: so much at most.
    public init(mostBytes: Int = 1 << 20, passingTo sink: (@Sendable ([UInt8]) -> Void)? = nil) {
        self.sink = sink
        mostPassed = mostBytes
    }

    /// Takes what came by another way than the serial port.
    public func take(_ bytes: [UInt8]) {
        for byte in bytes { take(byte) }
    }

    func take(_ byte: UInt8) {
        // Lines end as they do everywhere else.
        if byte == 0x0d { return }
        let line = state.with { state -> [UInt8]? in
            if state.tail.count == 2 * Self.mostTail {
                state.tail.removeFirst(Self.mostTail)
            }
            state.tail.append(byte)
            state.line.append(byte)
            guard byte == 0x0a || state.line.count == Self.mostLine else { return nil }
            let line = state.line
            state.line.removeAll(keepingCapacity: true)
            guard state.passed + line.count <= mostPassed else { return nil }
            state.passed += line.count
            return line
        }
        if let line { sink?(line) }
    }

    /// The last that was said.
    public var tail: String {
        String(decoding: state.with { $0.tail.suffix(Self.mostTail) }, as: UTF8.self)
    }
}
