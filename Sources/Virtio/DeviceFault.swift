public import GuestMemory

/// What a driver did that no driver may. The device ends its work and says so.
public enum DeviceFault: Error, Hashable, Sendable {
    case outsideMemory(GuestMemoryError)
    case badQueueSize(UInt16)
    /// More is offered than the queue holds.
    case tooManyAvailable(offered: UInt16, size: UInt16)
    case descriptorOutsideTable(UInt16)
    /// A chain has more descriptors than the queue, so it goes round.
    case endlessChain(head: UInt16)
    /// What the device reads must come before what it writes.
    case readableAfterWritable(head: UInt16)
    case emptyDescriptor(head: UInt16)
    /// A table of descriptors of a size that is none, or within another.
    case badIndirectTable(head: UInt16)
    /// More bytes than the device takes at once.
    case chainTooLong(head: UInt16)
    /// The driver asked for something that this kind of device has not.
    case badRequest(StaticText)
    /// Something beside the guest failed, with which the device cannot go on.
    case hostFailed(String)

    /// A constant text.
    public struct StaticText: Hashable, Sendable, ExpressibleByStringLiteral {
        public let text: String
        public init(stringLiteral value: StaticString) { text = "\(value)" }
    }
}

extension DeviceFault: CustomStringConvertible {
    public var description: String {
        switch self {
        case .outsideMemory(let error): "\(error)"
        case .badQueueSize(let size): "a queue of \(size) descriptors"
        case .tooManyAvailable(let offered, let size):
            "\(offered) chains offered in a queue of \(size)"
        case .descriptorOutsideTable(let index): "descriptor \(index) is outside of its table"
        case .endlessChain(let head): "the chain from \(head) on has no end"
        case .readableAfterWritable(let head):
            "the chain from \(head) on has a part to read after one to write"
        case .emptyDescriptor(let head): "the chain from \(head) on has an empty part"
        case .badIndirectTable(let head): "the chain from \(head) on has a bad indirect table"
        case .chainTooLong(let head): "the chain from \(head) on has too many bytes"
        case .badRequest(let text): text.text
        case .hostFailed(let text): text
        }
    }
}
