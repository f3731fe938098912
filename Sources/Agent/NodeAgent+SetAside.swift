internal import AgentAPI
internal import AgentOperations
internal import Jail
internal import ProtocolBuffers
internal import RPC
internal import SandboxModel
internal import Store

/// What a record that was set aside leaves behind.
///
/// Each sandbox has a note of what it is in its folder. An agent that begins with an empty record
/// takes over what has one, as a start that an earlier agent was about to make: what runs is
/// adopted, what has ended gets its outcome, what never ran can be started.
extension NodeAgent {
    func takeOverUnknown() throws(AgentError) {
        guard journal.history.last == 0 else { return }
        var found: [String: (sandbox: AgentAPI.Sandbox, number: Int64)] = [:]
        for engine in engines.values {
            for number in engine.numbers() {
                guard let bytes = engine.folder(of: number).note(),
                    let sandbox = try? AgentAPI.Sandbox(decoding: bytes),
                    (try? Self.checkID(sandbox.id)) != nil, sandbox.isolation.model == engine.kind
                else { continue }
                // The newest of those that had the id.
                found[sandbox.id] = (sandbox, number)
                passNumber(number)
            }
        }
        guard !found.isEmpty else { return }
        do throws(CallFailure) {
            try journal.commit { draft in
                for (sandbox, number) in found.values.sorted(by: { $0.number < $1.number }) {
                    Self.write(sandbox, number, into: &draft)
                }
            }
        } catch {
            throw AgentError(error.message, hint: error.hint, kind: .recordUnreachable)
        }
        log.warning(
            "the record is empty: sandboxes are taken over as their folders tell",
            ["sandboxes": .integer(Int64(found.count))])
    }

    private static func write(
        _ found: AgentAPI.Sandbox, _ number: Int64, into draft: inout Journal.Draft
    ) {
        var sandbox = found
        sandbox.state = .starting
        draft.put(sandbox, number: number)
        draft.add(
            .created(.init(spec: sandbox.spec, isolation: sandbox.isolation)), of: sandbox.id)
        draft.add(.stateChanged(.init(before: .created, after: .starting)), of: sandbox.id)
    }

    /// After its limits have changed.
    func keepNote(of managed: ManagedSandbox) {
        let folder = managed.engine.folder(of: managed.number)
        let note = managed.sandbox.note()
        offload(for: managed, to: undertakers) { () throws(SandboxError) in
            try folder.keep(note, replacing: true)
        } then: { _ in
        }
    }
}

extension AgentAPI.Sandbox {
    /// What its folder says of it.
    ///
    /// - Parameter limits: which hold, where that is not in it yet.
    func note(limits: [SandboxModel.LimitStatus]? = nil) -> [UInt8] {
        var note = AgentAPI.Sandbox(
            id: id, spec: spec, state: .created, isolation: isolation,
            createdAtNanoseconds: createdAtNanoseconds)
        note.resolved = resolved
        note.limits = limits.map { $0.map { AgentAPI.LimitStatus($0) } } ?? self.limits
        return note.encoded()
    }
}
