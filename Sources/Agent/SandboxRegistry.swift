/// The sandboxes of the node, by id and in the order of ids.
struct SandboxRegistry {
    private var byID: [String: ManagedSandbox] = [:]
    private var sortedIDs: [String] = []

    var count: Int { sortedIDs.count }
    /// In the order of ids.
    var all: [ManagedSandbox] { sortedIDs.compactMap { byID[$0] } }

    subscript(id: String) -> ManagedSandbox? { byID[id] }

    mutating func insert(_ sandbox: ManagedSandbox) {
        let previous = byID.updateValue(sandbox, forKey: sandbox.id)
        precondition(previous == nil, "an id belongs to one sandbox")
        sortedIDs.insert(sandbox.id, at: place(of: sandbox.id))
    }

    mutating func remove(_ sandbox: ManagedSandbox) {
        guard byID.removeValue(forKey: sandbox.id) != nil else { return }
        sortedIDs.remove(at: place(of: sandbox.id))
    }

    /// Those behind an id, in order, as many as are asked for and wanted.
    func page(
        after id: String, limit: Int, where wanted: (ManagedSandbox) -> Bool
    ) -> (page: [ManagedSandbox], more: Bool) {
        var page: [ManagedSandbox] = []
        var index = id.isEmpty ? 0 : place(of: id)
        if index < sortedIDs.count, sortedIDs[index] == id { index += 1 }
        while index < sortedIDs.count {
            if let sandbox = byID[sortedIDs[index]], wanted(sandbox) {
                guard page.count < limit else { return (page, true) }
                page.append(sandbox)
            }
            index += 1
        }
        return (page, false)
    }

    /// Where an id stands, or would.
    private func place(of id: String) -> Int {
        var low = 0
        var high = sortedIDs.count
        while low < high {
            let middle = (low + high) / 2
            if sortedIDs[middle] < id { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
