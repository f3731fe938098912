internal import Agent
internal import AgentOperations
internal import LinuxKernel
internal import RPC

/// Reads the configuration again when a signal asks for it. All of it is on the loop's thread.
final class Reloader {
    private let read: () throws -> AgentConfiguration
    private let agent: Agent
    private let server: Server
    private let manager: ServiceManager
    private let log: Log
    private let farewell: Farewell
    /// What holds.
    private var configuration: AgentConfiguration

    /// - Parameter read: reads the file.
    init(
        _ configuration: AgentConfiguration, _ agent: Agent, _ server: Server,
        _ manager: ServiceManager, _ log: Log, _ farewell: Farewell,
        read: @escaping () throws -> AgentConfiguration
    ) {
        self.configuration = configuration
        self.agent = agent
        self.server = server
        self.manager = manager
        self.log = log
        self.farewell = farewell
        self.read = read
    }

    /// What `systemctl status` shows.
    var status: String { "serving at \(configuration.socket.path)" }

    func reload() {
        // One that ends has nothing to reload, and would be told to be ready again.
        guard !farewell.hasBegun else { return }
        _ = try? manager.tell(.reloading, .status("reading the configuration again"))
        var status = status
        do {
            take(ConfigurationReload(from: configuration, to: try read()))
        } catch let error as ConfigurationError {
            for problem in error.problems {
                log.error(
                    "the configuration is wrong; what held before holds on",
                    [
                        "config.file": .text(error.source), "config.problem": .text("\(problem)"),
                    ])
            }
            status += "; the configuration file is wrong, what held before holds on"
        } catch {
            log.error(
                "the configuration cannot be read; what held before holds on",
                ["error": LogValue(error)])
        }
        _ = try? manager.tell(.ready, .status(status))
    }

    private func take(_ reload: ConfigurationReload) {
        configuration = reload.configuration
        log.level = configuration.logLevel
        farewell.drainDeadline = configuration.drainDeadline
        server.allow(AgentSockets.users(configuration))
        agent.reload(NodeSettings(configuration))
        log.info(
            "the configuration was read again",
            ["config.changed": .text(reload.changed.joined(separator: " "))])
        guard !reload.waiting.isEmpty else { return }
        log.warning(
            "some of the configuration holds only from the next start of the agent on",
            ["config.waiting": .text(reload.waiting.joined(separator: " "))])
    }
}
