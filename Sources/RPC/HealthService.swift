/// The standard service `grpc.health.v1.Health`: whether services take calls.
///
/// It lives on the loop's thread, as the server that it is given to.
public final class HealthService: @unchecked Sendable {
    /// Corresponds to `HealthCheckResponse.ServingStatus`.
    public enum Health: Int, Sendable {
        case serving = 1
        case notServing = 2
    }

    /// `SERVICE_UNKNOWN`, which watchers alone are told.
    private static let unknown = 3

    /// The empty name stands for the whole server.
    private var services: [String: Health] = ["": .serving]
    private var watches: [ObjectIdentifier: Watch] = [:]

    public init(services: [String] = []) {
        for service in services { self.services[service] = .serving }
    }

    /// Says how a service is; watchers are told.
    public func set(_ service: String, _ health: Health) {
        services[service] = health
        for watch in watches.values where watch.service == service { tell(watch) }
    }

    /// The server ends: no service takes calls, and watchers, who would hold up its shutdown, are
    /// let go.
    public func end() {
        for service in Array(services.keys) { set(service, .notServing) }
        let ended = watches.values
        watches = [:]
        for watch in ended { watch.call.finish(Status(.unavailable, "the server shuts down")) }
    }

    public var endpoints: [Endpoint] {
        let prefix = "/grpc.health.v1.Health/"
        return [
            .request(prefix + "Check", isReadOnly: true) { self.check($0, $1) },
            .request(prefix + "List", isReadOnly: true) { call, _ in self.list(call) },
            .request(prefix + "Watch", isReadOnly: true) { self.watch($0, $1) },
        ]
    }

    private static func service(_ request: [UInt8]) -> String? {
        guard let fields = try? WireFormat.fields(request) else { return nil }
        return fields.last { $0.number == 1 }?.value.text ?? ""
    }

    private static func response(_ status: Int) -> [UInt8] {
        var writer = WireFormat.Writer()
        writer.add(1, UInt64(status))
        return writer.bytes
    }

    private func check(_ call: ServerCall, _ request: [UInt8]) {
        guard let service = Self.service(request) else { return call.finish(.notAMessage) }
        guard let health = services[service] else {
            call.finish(Status(.notFound, "there is no service `\(service)`"))
            return
        }
        call.send(Self.response(health.rawValue))
        call.finish()
    }

    private func list(_ call: ServerCall) {
        var writer = WireFormat.Writer()
        for (name, health) in services.sorted(by: { $0.key < $1.key }) {
            writer.add(1) { entry in
                entry.add(1, name)
                entry.add(2, Self.response(health.rawValue))
            }
        }
        call.send(writer.bytes)
        call.finish()
    }

    private final class Watch {
        let call: ServerCall
        let service: String
        var told: Int?

        init(_ call: ServerCall, _ service: String) {
            self.call = call
            self.service = service
        }
    }

    private func watch(_ call: ServerCall, _ request: [UInt8]) {
        guard let service = Self.service(request) else { return call.finish(.notAMessage) }
        let watch = Watch(call, service)
        watches[ObjectIdentifier(watch)] = watch
        call.onCancel = { [weak self, weak watch] _ in
            guard let self, let watch else { return }
            watches[ObjectIdentifier(watch)] = nil
        }
        call.onWritable = { [weak self, weak watch] in
            guard let self, let watch else { return }
            tell(watch)
        }
        tell(watch)
    }

    /// Sends how a service is now; what was in between while the watcher did not read is left out.
    private func tell(_ watch: Watch) {
        let status = services[watch.service]?.rawValue ?? Self.unknown
        guard status != watch.told, watch.call.isWritable else { return }
        watch.told = status
        watch.call.send(Self.response(status))
    }
}

extension Status {
    static let notAMessage = Status(.invalidArgument, "the request is not the method's message")
}
