/// What becomes of a configuration that is read while the agent runs.
public struct ConfigurationReload: Sendable {
    /// What holds from now on: what can change has the new values, the rest the old ones.
    public let configuration: AgentConfiguration
    /// The paths of the keys that changed, in the order of the documentation.
    public let changed: [String]
    /// Of those that have another value in the file, which holds from the next start on.
    public let waiting: [String]

    /// - Parameters:
    ///   - old: what holds.
    ///   - new: what the file says now.
    public init(from old: AgentConfiguration, to new: AgentConfiguration) {
        var result = old
        var (changed, waiting): ([String], [String]) = ([], [])
        for key in ConfigurationKey.all where key.write(old) != key.write(new) {
            if key.isReloadable {
                key.copy(new, &result)
                changed.append(key.path)
            } else {
                waiting.append(key.path)
            }
        }
        configuration = result
        self.changed = changed
        self.waiting = waiting
    }
}
