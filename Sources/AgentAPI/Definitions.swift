public import ProtocolBuffers

/// All that the agent serves and speaks, for server reflection and the table of calls.
public enum Definitions {
    /// Every file, after those that it imports.
    public static let files: [FileDescriptor] = [
        .googleProtobufAny, .googleRpcStatus, .grpcHealthV1Health, .grpcReflectionV1Reflection,
        .alcoveV1Types, .alcoveV1Sandboxes, .alcoveV1Images, .alcoveV1Node, .alcoveV1ControlPlane,
    ]

    /// The services of the agent's socket. `ControlPlane` is served by others.
    public static let services: [ServiceDescriptor] = [
        SandboxesMethods.service, NodeMethods.service, ImagesMethods.service,
        HealthMethods.service, ServerReflectionMethods.service,
    ]
}
