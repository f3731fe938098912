internal import ProtocolBuffers
public import RPC

/// The standard service `grpc.health.v1.Health`: whether services take calls.
///
/// It lives on the loop's thread, as the server that it is given to.
public final class HealthService: @unchecked Sendable {
    public typealias Health = HealthCheckResponse.ServingStatus
    private typealias Call = TypedCall<HealthCheckRequest, HealthCheckResponse>

    private final class Watch {
        let call: Call
        let service: String
        var told: Health?

        init(_ call: Call, _ service: String) {
            self.call = call
            self.service = service
        }
    }

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
        for watch in ended {
            watch.call.finish(RPC.Status(.unavailable, "the server shuts down"))
        }
    }

    public var endpoints: [Endpoint] {
        [
            .answer(HealthMethods.check, isReadOnly: true) { request throws(CallFailure) in
                guard let health = self.services[request.service] else {
                    throw CallFailure(
                        .notFound, reason: "no_such_service",
                        "there is no service `\(request.service)`")
                }
                return HealthCheckResponse(status: health)
            },
            .answer(HealthMethods.list, isReadOnly: true) { _ in
                HealthListResponse(
                    statuses: self.services.mapValues { HealthCheckResponse(status: $0) })
            },
            .serverStream(HealthMethods.watch, isReadOnly: true) { self.watch($0.service, $1) },
        ]
    }

    private func watch(_ service: String, _ call: Call) {
        let watch = Watch(call, service)
        watches[ObjectIdentifier(watch)] = watch
        call.onCancel { [weak self, weak watch] _ in
            guard let self, let watch else { return }
            watches[ObjectIdentifier(watch)] = nil
        }
        call.onWritable { [weak self, weak watch] in
            guard let self, let watch else { return }
            tell(watch)
        }
        tell(watch)
    }

    /// Sends how a service is now; what was in between while the watcher did not read is left out.
    private func tell(_ watch: Watch) {
        let health = services[watch.service] ?? .serviceUnknown
        guard health != watch.told, watch.call.isWritable else { return }
        watch.told = health
        watch.call.send(HealthCheckResponse(status: health))
    }
}
