internal import LinuxKernel

/// Signals that are meant for the workload.
final class SignalRelay {
    private static let relayed: [Signal] = [
        .hangUp, .interrupt, .quit, .user1, .user2, .terminate, .windowChange,
    ]

    private let loop: EventLoop
    private let action: (Signal) -> Void
    private var reader: SignalReaderBox?

    init(_ loop: EventLoop, _ action: @escaping (Signal) -> Void) {
        self.loop = loop
        self.action = action
    }

    func begin() throws {
        let box = SignalReaderBox(try SignalReader(Self.relayed))
        reader = box
        let action = action
        try loop.watch(box.reader.descriptor.rawValue, for: .readable) { _ in
            for signal in box.reader.pending() { action(signal) }
        }
    }
}

/// One that closures share.
private final class SignalReaderBox {
    let reader: SignalReader

    init(_ reader: consuming SignalReader) {
        self.reader = reader
    }
}

/// The terminal that alcove-vmm was given, passed through byte by byte: what they mean is decided
/// in the guest.
struct RawTerminal {
    private let settings: Terminal.Settings?

    init() {
        settings = Terminal.settings(of: 0)
        if let settings { Terminal.makeRaw(0, from: settings) }
    }

    func restore() {
        if let settings { Terminal.restore(0, settings) }
    }
}
