public import ProtocolBuffers
public import RPC

/// The standard services `grpc.reflection.v1` and `v1alpha`: what a client has to know to call the
/// others. Both have the same messages; the older one is offered to who asks for it, and not
/// listed.
public final class ReflectionService: Sendable {
    private let services: [String]
    private let files: [FileDescriptor]
    private let names: [String: Int]
    private let symbols: [String: Int]

    /// - Parameters:
    ///   - files: what the services are defined in, and all that these files import.
    ///   - services: what the server offers.
    public init(
        files: [FileDescriptor] = Definitions.files,
        services: [ServiceDescriptor] = Definitions.services
    ) {
        self.files = files
        self.services = services.map(\.name).sorted()
        var names: [String: Int] = [:]
        var symbols: [String: Int] = [:]
        for (index, file) in files.enumerated() {
            names[file.name] = index
            for symbol in file.symbols { symbols[symbol] = index }
        }
        self.names = names
        self.symbols = symbols
    }

    public var endpoints: [Endpoint] {
        let method = ServerReflectionMethods.serverReflectionInfo
        let older = Method<ServerReflectionRequest, ServerReflectionResponse>(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", method.kind)
        return [method, older].map { method in
            .bidirectional(method, isReadOnly: true) { call in
                call.onMessage { request in
                    call.send(self.response(to: request))
                    // Who asks on without reading the answers waits.
                    if !call.isWritable { call.pause() }
                }
                call.onWritable { call.resume() }
                call.onHalfClose { call.finish() }
            }
        }
    }

    private func response(to request: ServerReflectionRequest) -> ServerReflectionResponse {
        ServerReflectionResponse(
            validHost: request.host, originalRequest: request,
            messageResponse: answer(to: request.messageRequest))
    }

    private func answer(
        to request: ServerReflectionRequest.MessageRequest?
    ) -> ServerReflectionResponse.MessageResponse {
        switch request {
        case .fileByFilename(let name): return answer(names[name], asked: name)
        case .fileContainingSymbol(let name): return answer(file(ofSymbol: name), asked: name)
        // There are no extensions in the version of the language that the files are in.
        case .fileContainingExtension(let asked):
            return answer(nil, asked: "\(asked.containingType) \(asked.extensionNumber)")
        case .allExtensionNumbersOfType(let name):
            guard file(ofSymbol: name) != nil else { return answer(nil, asked: name) }
            return .allExtensionNumbersResponse(ExtensionNumberResponse(baseTypeName: name))
        case .listServices:
            let names = services.map { ServiceResponse(name: $0) }
            return .listServicesResponse(ListServiceResponse(service: names))
        case nil: return error(.invalidArgument, "nothing is asked for")
        }
    }

    private func file(ofSymbol name: String) -> Int? {
        symbols[name.hasPrefix(".") ? String(name.dropFirst()) : name]
    }

    private func answer(
        _ file: Int?, asked: String
    ) -> ServerReflectionResponse.MessageResponse {
        guard let file else { return error(.notFound, "there is no `\(asked)`") }
        return .fileDescriptorResponse(
            FileDescriptorResponse(fileDescriptorProto: withImports(file).map(\.bytes)))
    }

    /// A file and all that it imports, each once, the file itself first.
    private func withImports(_ file: Int) -> [FileDescriptor] {
        var order = [file]
        var next = 0
        while next < order.count {
            for name in files[order[next]].imports {
                if let found = names[name], !order.contains(found) { order.append(found) }
            }
            next += 1
        }
        return order.map { files[$0] }
    }

    private func error(
        _ code: RPC.Status.Code, _ message: String
    ) -> ServerReflectionResponse.MessageResponse {
        .errorResponse(
            ErrorResponse(errorCode: Int32(code.rawValue), errorMessage: message))
    }
}
