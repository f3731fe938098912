internal import LinuxKernel
internal import Store

/// Which node this is.
struct NodeIdentity {
    let name: String
    /// The same over restarts and upgrades, another one for each node.
    let id: String

    private static let key = "node-id"

    init(_ settings: NodeSettings, _ store: Store) throws(StoreError) {
        let host = (try? Files.read("/proc/sys/kernel/hostname")) ?? ""
        name = settings.nodeName.isEmpty ? String(host.prefix { $0 != "\n" }) : settings.nodeName
        if let known = try store.value(Self.key) {
            id = String(decoding: known, as: UTF8.self)
        } else {
            // Random, as the kernel makes it.
            let text = (try? Files.read("/proc/sys/kernel/random/uuid")) ?? ""
            id = String(text.prefix { $0 != "\n" })
            var change = Change()
            change.set(Self.key, to: Array(id.utf8))
            try store.commit(change)
        }
    }
}
