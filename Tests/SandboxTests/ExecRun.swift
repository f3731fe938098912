import Foundation
import Jail
import LinuxKernel
import TestSupport

/// A command in a sandbox, with all that it said.
final class ExecRun {
    let session: ExecSession
    private(set) var output: [UInt8] = []
    private(set) var errors: [UInt8] = []
    private(set) var events: [ExecSession.Event] = []
    private var pendingInput: ArraySlice<UInt8> = []
    private var endsInput = false

    init(_ session: ExecSession) {
        self.session = session
        // A command that does not read must not end this process.
        signal(SIGPIPE, SIG_IGN)
    }

    var text: String { String(decoding: output, as: UTF8.self) }
    var errorText: String { String(decoding: errors, as: UTF8.self) }
    var isOver: Bool {
        switch events.last {
        case .ended, .failed: true
        case .started, nil: false
        }
    }

    func write(_ text: String) { pendingInput += Array(text.utf8) }

    func endInput() { endsInput = true }

    /// Waits for what is next, and takes it.
    func step() throws {
        if pendingInput.isEmpty, endsInput { session.closeInput() }
        // Of two that are closed neither is a terminal.
        let hasTerminal =
            session.outputDescriptor != nil
            && session.inputDescriptor == session.outputDescriptor
        let readers = [
            session.controlDescriptor, session.outputDescriptor, session.errorDescriptor,
        ]
        var interests = readers.map { Readiness.Interest($0 ?? -1) }
        let writer = pendingInput.isEmpty ? nil : session.inputDescriptor
        interests.append(Readiness.Interest(writer ?? -1, writing: true))
        try Patience.wait(for: &interests)
        if interests[0].isReady, let event = session.takeEvent() { events.append(event) }
        if interests[1].isReady, case .bytes(let bytes) = session.readOutput() { output += bytes }
        if interests[2].isReady, !hasTerminal, case .bytes(let bytes) = session.readError() {
            errors += bytes
        }
        if interests[3].isReady {
            pendingInput = pendingInput.dropFirst(session.write(pendingInput))
        }
    }

    /// Waits until it has started, or never will.
    @discardableResult
    func untilStarted() throws -> Int32 {
        while events.isEmpty { try step() }
        guard case .started(let pid) = events[0] else {
            throw LastingDriver.Lost(what: "a start: \(events)")
        }
        return pid
    }

    func until(output wanted: String) throws {
        while !text.contains(wanted) {
            guard session.outputDescriptor != nil || !isOver else {
                throw LastingDriver.Lost(what: "`\(wanted)` in `\(text)`")
            }
            try step()
        }
    }

    /// Waits until it has ended and all of its output is read.
    @discardableResult
    func untilOver() throws -> ExecSession.Event? {
        while !isOver || session.outputDescriptor != nil || session.errorDescriptor != nil {
            try step()
        }
        return events.last
    }
}

extension LastingSandbox {
    func run(_ script: String) throws -> ExecRun {
        ExecRun(try execute(ExecRequest(command: ["sh", "-c", script])))
    }
}
