/// Fields of a header block to send, in one piece of memory.
struct HeaderBlock: Sendable {
    struct Field: Sendable {
        let name: Range<Int>
        let value: Range<Int>
    }

    private(set) var bytes: [UInt8] = []
    private(set) var fields: [Field] = []

    mutating func add(_ name: String, _ value: String) {
        add(name, value.utf8)
    }

    mutating func add(_ name: String, _ value: some Sequence<UInt8>) {
        let start = bytes.count
        bytes.append(contentsOf: name.utf8)
        let middle = bytes.count
        bytes.append(contentsOf: value)
        fields.append(Field(name: start..<middle, value: middle..<bytes.count))
    }

    mutating func add(_ metadata: Metadata) {
        for entry in metadata.entries {
            switch entry.value {
            case .text(let text): add(entry.name, text.utf8)
            case .binary(let bytes): add(entry.name, Base64.encode(bytes))
            }
        }
    }

    mutating func add(_ status: Status) {
        add("grpc-status", String(status.code.rawValue))
        if !status.message.isEmpty { add("grpc-message", status.encodedMessage) }
        if !status.details.isEmpty {
            add("grpc-status-details-bin", Base64.encode(status.details))
        }
    }

    mutating func append(_ other: HeaderBlock) {
        let shift = bytes.count
        bytes += other.bytes
        fields += other.fields.map { field in
            Field(
                name: (field.name.lowerBound + shift)..<(field.name.upperBound + shift),
                value: (field.value.lowerBound + shift)..<(field.value.upperBound + shift))
        }
    }

    /// A call's request.
    ///
    /// - Parameter timeout: in nanoseconds.
    static func request(_ path: String, _ metadata: Metadata, timeout: UInt64?) -> HeaderBlock {
        var block = HeaderBlock()
        block.add(":method", "POST")
        block.add(":scheme", "http")
        block.add(":path", path)
        block.add(":authority", "localhost")
        block.add("te", "trailers")
        if let timeout { block.add("grpc-timeout", CallTimeout.text(nanoseconds: timeout)) }
        block.add("content-type", "application/grpc")
        block.add("user-agent", "grpc-alcove")
        block.add("grpc-accept-encoding", "identity")
        block.add(metadata)
        return block
    }

    /// What every answer begins with.
    static let answer: HeaderBlock = {
        var block = HeaderBlock()
        block.add(":status", "200")
        block.add("content-type", "application/grpc")
        block.add("grpc-accept-encoding", "identity")
        return block
    }()

    /// The trailers of a call that went well.
    static let success: HeaderBlock = {
        var block = HeaderBlock()
        block.add(Status.ok)
        return block
    }()

    /// An answer to what is no gRPC.
    static func refusal(httpStatus: Int, _ message: String) -> HeaderBlock {
        var block = HeaderBlock()
        block.add(":status", String(httpStatus))
        block.add(Status(httpStatus == 405 ? .unimplemented : .unknown, message))
        return block
    }
}
