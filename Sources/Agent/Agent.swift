internal import AgentAPI
public import AgentOperations
public import LinuxKernel
internal import MicroVM
internal import ProtocolBuffers
public import RPC
internal import SandboxModel
internal import Store

/// The agent as its program sees it: opened, served, closed.
public final class Agent {
    /// What `alcove.v1` says for a version of the agent.
    public static let version = AgentVersion.current

    private let node: NodeAgent
    private let networks: NetworkPool
    private let health: HealthService
    private let reflection: ReflectionService
    private let controlPlane: ControlPlaneLink?

    /// Opens the record, takes over what an earlier agent left, and is ready to serve. The loop is
    /// not running yet, and the calling thread is the one that will run it.
    public init(
        _ settings: NodeSettings, loop: EventLoop, log: Log, metrics: AgentMetrics,
        death: DeathAt? = nil
    ) throws(AgentError) {
        do throws(SystemCallError) {
            try Files.makeDirectories(settings.stateDirectory, permissions: 0o700)
            networks = try NetworkPool(target: settings.spareNetworks)
        } catch {
            throw AgentError("prepare `\(settings.stateDirectory)`: \(error)")
        }
        let store: Store
        do throws(StoreError) {
            store = try Store.open(directory: settings.stateDirectory)
        } catch {
            throw AgentError(error)
        }
        let spawner: Workers
        let workers: Workers
        let undertakers: Workers
        do throws(SystemCallError) {
            spawner = try Workers(threads: 1, queue: 65536, named: "spawner")
            workers = try Workers(threads: 3, queue: 65536, named: "worker")
            undertakers = try Workers(threads: 2, queue: 65536, named: "undertaker")
        } catch {
            throw AgentError("start threads: \(error)")
        }
        let (guests, obstacle) = try GuestJail.find(settings)
        let engines = try Self.engines(settings, networks, guests, on: spawner).get()
        node = try NodeAgent(
            loop: loop, settings: settings, store: store, engines: engines, spawner: spawner,
            workers: workers, undertakers: undertakers, log: log,
            metrics: metrics, death: death)
        node.microVMObstacle = obstacle
        health = HealthService(services: Definitions.services.map(\.name))
        reflection = ReflectionService()
        try node.recover()
        controlPlane = settings.controlPlane.map { [node] in
            ControlPlaneLink(path: $0, node: node)
        }
    }

    /// Paths of all calls that the socket answers.
    public static var methods: [String] {
        Definitions.services.flatMap { $0.methods.map(\.path) }
    }

    /// All that the socket answers.
    public var endpoints: [Endpoint] {
        SandboxesService(node: node).endpoints + NodeService(node: node).endpoints
            + ImagesService(node: node).endpoints + NetworksService(node: node).endpoints
            + health.endpoints + reflection.endpoints
    }

    /// Dials the control plane, where there is one. Called on the loop's thread.
    public func begin() {
        node.setGauges()
        controlPlane?.start()
    }

    /// Puts the files of a record that cannot be used out of the way. Gives their new place.
    public static func setRecordAside(_ stateDirectory: String) throws(AgentError) -> String {
        do throws(StoreError) {
            return try Store.setAside(directory: stateDirectory)
        } catch {
            throw AgentError(error)
        }
    }

    /// Takes over what of other settings can change while sandboxes run. Called on the loop's
    /// thread.
    public func reload(_ settings: NodeSettings) {
        let isKnown = node.settings.labels == settings.labels
        node.reload(settings)
        // What a control plane knows of the node itself, it is told at the registration.
        if !isKnown { controlPlane?.registerAgain() }
    }

    /// Stops all sandboxes, those that still run after a span of time by force, and takes no new
    /// ones. Called on the loop's thread.
    public func empty(within span: Duration, then done: @escaping () -> Void) {
        node.empty(within: span, then: done)
    }

    /// Sandboxes that are not stopped. Called on the loop's thread.
    public var remaining: Int { node.remaining }

    /// Says that calls are no longer welcome, before the server shuts down.
    public func end() {
        health.end()
        controlPlane?.close()
    }

    /// Ends the threads. The sandboxes go on, and what was to be done next is for the next agent,
    /// which finds it in the record.
    public func close() {
        for threads in [node.spawner, node.workers, node.undertakers] {
            threads.stop(dropsWaiting: true)
        }
        node.stored.depot.close()
        networks.stop()
        node.closeNetworks()
    }

    /// The engine's thread gives up for good what no sandbox may gain.
    private static func engines(
        _ settings: NodeSettings, _ networks: NetworkPool, _ guests: GuestJail?,
        on spawner: Workers
    ) -> Result<[any SandboxEngine], AgentError> {
        let made = Locked<Result<[any SandboxEngine], AgentError>?>(nil)
        spawner.run {
            let result: Result<[any SandboxEngine], AgentError>
            do throws(SandboxError) {
                var engines: [any SandboxEngine] = []
                if settings.allowsProcessIsolation {
                    engines.append(try JailEngine(settings, networks: networks))
                }
                if let guests {
                    engines.append(try JailEngine(settings, networks: networks, guests: guests))
                }
                result = .success(engines)
            } catch {
                result = .failure(AgentError(error))
            }
            made.with { $0 = result }
            made.signalAll()
        }
        return made.wait { $0 }
    }
}

enum AgentVersion {
    static let current = "0.1.0"
}
