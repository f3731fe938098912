public import ProtocolBuffers

/// All that the agent serves and speaks, for server reflection and the table of calls.
public enum Definitions {
    /// Every file, after those that it imports.
    public static let files: [FileDescriptor] = [
        .googleProtobufAny, .googleRpcStatus, .grpcHealthV1Health, .grpcReflectionV1Reflection,
        .alcoveV1Types, .alcoveV1Sandboxes, .alcoveV1Images, .alcoveV1Networks, .alcoveV1Node,
        .alcoveV1ControlPlane, .alcoveV1Proxy,
    ]

    /// The services of the agent's socket. `ControlPlane` is served by others.
    public static let services: [ServiceDescriptor] = [
        SandboxesMethods.service, NodeMethods.service, ImagesMethods.service,
        NetworksMethods.service, HealthMethods.service, ServerReflectionMethods.service,
    ]

    /// The services of the VPC proxy's socket.
    public static let proxyServices: [ServiceDescriptor] = [
        ProxyMethods.service, HealthMethods.service, ServerReflectionMethods.service,
    ]
}
