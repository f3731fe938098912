public import ProtocolBuffers

extension AnyMessage {
    private static let prefix = "type.googleapis.com/"

    public init<Content: Message>(packing content: Content) {
        self.init(typeURL: Self.prefix + Content.messageName, value: content.encoded())
    }

    /// The message inside; nil when it is of another type.
    public func unpacked<Content: Message>(
        as type: Content.Type
    ) throws(WireError) -> Content? {
        guard typeURL.split(separator: "/").last.map(String.init) == Content.messageName else {
            return nil
        }
        return try Content(decoding: value)
    }
}

extension Status {
    /// What a failed call says in `grpc-status-details-bin`.
    public init(code: Int32, message: String, detail: ErrorDetail) {
        self.init(code: code, message: message, details: [AnyMessage(packing: detail)])
    }

    /// The first detail of Alcove's own.
    public func detail() throws(WireError) -> ErrorDetail? {
        for each in details {
            if let detail = try each.unpacked(as: ErrorDetail.self) { return detail }
        }
        return nil
    }
}
