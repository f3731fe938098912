/// The standard services `grpc.reflection.v1` and `v1alpha`: what a client has to know to call the
/// others.
public final class ReflectionService: Sendable {
    private let index: DescriptorIndex

    /// A descriptor that is not one.
    public struct Malformed: Error, Hashable, Sendable {}

    /// - Parameter files: serialized `FileDescriptorProto`s of what the server offers and of what
    ///   they import, as protoc makes them. Those of health and of reflection are added.
    public init(files: [[UInt8]]) throws(Malformed) {
        let standard = [
            StandardDescriptors.health, StandardDescriptors.reflection,
            StandardDescriptors.reflectionAlpha,
        ].map { Base64.decode(Array($0.utf8)) ?? [] }
        do throws(WireFormat.Malformed) {
            index = try DescriptorIndex(files + standard)
        } catch {
            throw Malformed()
        }
    }

    public var endpoints: [Endpoint] {
        ["v1", "v1alpha"].map { version in
            Endpoint(
                "/grpc.reflection.\(version).ServerReflection/ServerReflectionInfo",
                isReadOnly: true
            ) { [index] call in
                call.onMessage = { request in
                    guard let response = Self.answer(request, index) else {
                        call.finish(.notAMessage)
                        return
                    }
                    call.send(response)
                    // Who asks on without reading the answers waits.
                    if !call.isWritable { call.pause() }
                }
                call.onWritable = { call.resume() }
                call.onHalfClose = { call.finish() }
            }
        }
    }

    /// The answer to one request; nothing for what is none.
    static func answer(_ request: [UInt8], _ index: DescriptorIndex) -> [UInt8]? {
        guard let fields = try? WireFormat.fields(request) else { return nil }
        var writer = WireFormat.Writer()
        if let host = fields.last(where: { $0.number == 1 })?.value.text { writer.add(1, host) }
        writer.add(2, request)
        guard let asked = fields.last(where: { (3...7).contains($0.number) }),
            case .bytes(let bytes) = asked.value
        else {
            addError(.invalidArgument, "nothing is asked for", to: &writer)
            return writer.bytes
        }
        let name = String(decoding: bytes, as: UTF8.self)
        switch asked.number {
        case 3: addFiles(index.file(named: name), asked: name, index, to: &writer)
        case 4: addFiles(index.file(ofSymbol: name), asked: name, index, to: &writer)
        case 5:
            guard let query = try? WireFormat.fields(bytes) else { return nil }
            let type = query.last { $0.number == 1 }?.value.text ?? ""
            var number: UInt64 = 0
            if case .number(let value) = query.last(where: { $0.number == 2 })?.value {
                number = value
            }
            let file = index.extensions[type]?[number]
            addFiles(file, asked: "\(type) \(number)", index, to: &writer)
        case 6: addExtensions(of: name, index, to: &writer)
        default:
            writer.add(6) { list in
                for service in index.services { list.add(1) { $0.add(1, service) } }
            }
        }
        return writer.bytes
    }

    private static func addFiles(
        _ file: Int?, asked: String, _ index: DescriptorIndex, to writer: inout WireFormat.Writer
    ) {
        guard let file else {
            addError(.notFound, "there is no `\(asked)`", to: &writer)
            return
        }
        writer.add(4) { list in
            for bytes in index.withImports(file) { list.add(1, bytes) }
        }
    }

    private static func addExtensions(
        of type: String, _ index: DescriptorIndex, to writer: inout WireFormat.Writer
    ) {
        guard index.file(ofSymbol: type) != nil || index.extensions[type] != nil else {
            addError(.notFound, "there is no `\(type)`", to: &writer)
            return
        }
        writer.add(5) { list in
            list.add(1, type)
            for number in (index.extensions[type] ?? [:]).keys.sorted() { list.add(2, number) }
        }
    }

    private static func addError(
        _ code: Status.Code, _ message: String, to writer: inout WireFormat.Writer
    ) {
        writer.add(7) { error in
            error.add(1, UInt64(code.rawValue))
            error.add(2, message)
        }
    }
}
