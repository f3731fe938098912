internal import CInit
internal import CInitProtocol

/// Serves the connections of the host: what they ask for, and the commands that run by them.
///
///     idle ── hello, signal, resize ──► idle
///      │ └─── execute, a bad message, the end ──► …
///      ├── execute ──► running ── the command ended: told ──► closed
///      │                  └── the end, a bad message: killed ──► closed
///      └── the end, a bad message ──► closed
struct ControlServer {
    private struct Connection {
        /// -1 where there is none.
        var descriptor: Int32 = -1
        /// The command that runs by it, which leads a session and a process group; or 0.
        var process: Int32 = 0
    }

    /// 0 until it is started.
    var workload: Int32 = 0
    private var connections = InlineArray<24, Connection>(repeating: Connection())
    /// The controlling side of the workload's terminal.
    private let terminal: Int32?
    private let listener = Int32(ALCOVE_DESCRIPTOR_CONTROL.rawValue)

    init(terminal: Int32?) {
        self.terminal = terminal
    }

    static let entryCount = 25

    func fill(_ entries: inout InlineArray<30, cinit_poll>, from first: Int) {
        // Those who would have no place wait where they are.
        entries[first].descriptor = freeIndex == nil ? -1 : listener
        for index in connections.indices {
            entries[first + 1 + index].descriptor = connections[index].descriptor
        }
    }

    mutating func handle(_ entries: InlineArray<30, cinit_poll>, from first: Int) {
        for index in connections.indices where entries[first + 1 + index].happened != 0 {
            // By the descriptor: the entry is that of the last wait.
            if connections[index].descriptor == entries[first + 1 + index].descriptor {
                takeMessage(index)
            }
        }
        // Last, so that none of the above is a new one.
        if entries[first].happened != 0 { accept() }
    }

    private var freeIndex: Int? {
        for index in connections.indices where connections[index].descriptor < 0 { return index }
        return nil
    }

    private var commandCount: Int {
        var count = 0
        for index in connections.indices where connections[index].process > 0 { count += 1 }
        return count
    }

    private mutating func accept() {
        guard let index = freeIndex else { return }
        let descriptor = cinit_accept(listener)
        if descriptor >= 0 { connections[index] = Connection(descriptor: descriptor) }
    }

    private mutating func takeMessage(_ index: Int) {
        guard let message = receive(from: connections[index].descriptor) else { return }
        guard message.size > 0 else { return close(index) }
        guard message.whole, let request = Request(message) else {
            closeDescriptors(of: message)
            return refuse(index)
        }
        switch request {
        case .hello:
            let state = alcove_answer(
                kind: ALCOVE_ANSWER_STATE.rawValue, value: workload,
                detail: UInt64(ALCOVE_PROTOCOL_VERSION))
            if !send(state, to: connections[index].descriptor) { close(index) }
        case .signal(let number):
            let group = connections[index].process > 0 ? connections[index].process : workload
            if group > 1 { _ = cinit_kill(-group, number) }
        case .resize(let rows, let columns):
            if let terminal { _ = cinit_resize(terminal, rows, columns) }
        case .execute(let command):
            guard connections[index].process == 0 else {
                closeDescriptors(of: message)
                return refuse(index)
            }
            if commandCount < Int(ALCOVE_CONTROL_COMMANDS) {
                execute(command, index)
            } else {
                refuse(index, ALCOVE_REFUSAL_TOO_MANY)
            }
            closeDescriptors(of: message)
            if message.size > Self.largeMessage { cinit_forget_message() }
        }
    }

    /// A message of more bytes than this is worth two calls to give its memory back.
    private static let largeMessage: Int32 = 8192

    private mutating func execute(_ command: ExecuteRequest, _ index: Int) {
        let connection = connections[index].descriptor
        var streams = command.streams
        var controller: Int32 = -1
        if let size = command.terminal {
            do throws(KernelError) {
                let terminal = try openTerminal()
                controller = terminal.controller
                streams = (terminal.workload, terminal.workload, terminal.workload)
                _ = cinit_resize(controller, size.rows, size.columns)
            } catch {
                return fail(index, error.number, stage: ALCOVE_STAGE_TERMINAL.rawValue)
            }
        }
        let (process, stage) = command.spawn(streams: streams, tellingOn: connection)
        if controller >= 0 { _ = cinit_close(streams.0) }
        if process > 0 {
            connections[index].process = process
            let started = alcove_answer(
                kind: ALCOVE_ANSWER_STARTED.rawValue, value: process, detail: 0)
            if !send(started, to: connection, passing: controller) { close(index) }
        } else {
            fail(index, -process, stage: UInt32(stage))
        }
        if controller >= 0 { _ = cinit_close(controller) }
    }

    private mutating func fail(_ index: Int, _ errorNumber: Int32, stage: UInt32) {
        end(
            index,
            alcove_answer(
                kind: ALCOVE_ANSWER_FAILED.rawValue, value: errorNumber, detail: UInt64(stage)))
    }

    private mutating func refuse(
        _ index: Int, _ reason: alcove_refusal = ALCOVE_REFUSAL_NOT_UNDERSTOOD
    ) {
        end(
            index,
            alcove_answer(
                kind: ALCOVE_ANSWER_REFUSED.rawValue, value: Int32(reason.rawValue), detail: 0))
    }

    /// The last answer.
    private mutating func end(_ index: Int, _ answer: alcove_answer) {
        _ = send(answer, to: connections[index].descriptor)
        close(index)
    }

    /// A command that still runs by it is killed, with what else is in its process group.
    private mutating func close(_ index: Int) {
        if connections[index].process > 0 {
            _ = cinit_kill(-connections[index].process, Signal.kill)
        }
        _ = cinit_close(connections[index].descriptor)
        connections[index] = Connection()
    }

    /// A child ended: whoever asked for it is told.
    mutating func ended(_ child: cinit_ended) {
        for index in connections.indices where connections[index].process == child.process {
            let byItself = child.signal == 0
            connections[index].process = 0
            end(
                index,
                alcove_answer(
                    kind: byItself
                        ? ALCOVE_ANSWER_EXITED.rawValue : ALCOVE_ANSWER_SIGNALED.rawValue,
                    value: byItself ? child.code : child.signal,
                    detail: child.core_dumped ? 1 : 0))
            return
        }
    }

    private func closeDescriptors(of message: cinit_message) {
        let descriptors = message.descriptors
        if message.descriptor_count > 0 { _ = cinit_close(descriptors.0) }
        if message.descriptor_count > 1 { _ = cinit_close(descriptors.1) }
        if message.descriptor_count > 2 { _ = cinit_close(descriptors.2) }
    }
}
