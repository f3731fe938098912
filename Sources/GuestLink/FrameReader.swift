internal import CInitProtocol

/// A guest said what it may not.
public enum FrameFault: Error, Hashable, Sendable {
    case unknownKind(UInt8)
    case tooLong(UInt32)
    /// Too short or too long for its kind.
    case badLength(kind: UInt8, length: UInt32)
}

extension FrameFault: CustomStringConvertible {
    public var description: String {
        switch self {
        case .unknownKind(let kind): "a frame of kind \(kind)"
        case .tooLong(let length): "a frame of \(length) bytes"
        case .badLength(let kind, let length): "a frame of kind \(kind) with \(length) bytes"
        }
    }
}

/// Makes frames of bytes as they come, in any pieces. It keeps less than one frame.
public struct FrameReader: Sendable {
    private static let headBytes = 8
    private static let mostPayload = UInt32(ALCOVE_FRAME_LARGEST)

    private var pending: [UInt8] = []
    private var start = 0

    public init() {}

    public mutating func feed(_ bytes: ArraySlice<UInt8>) {
        if start > 0 {
            pending.removeFirst(start)
            start = 0
        }
        pending += bytes
    }

    /// What came of a frame that is not whole.
    public var rest: [UInt8] { Array(pending[start...]) }

    /// The next frame; nil when more bytes are needed.
    public mutating func next() throws(FrameFault) -> GuestFrame? {
        let rest = pending[start...]
        guard rest.count >= Self.headBytes else { return nil }
        let kind = rest[rest.startIndex]
        let stream = rest[rest.startIndex + 1]
        let length: UInt32 = Little.number(rest, at: 4)
        guard length <= Self.mostPayload else { throw .tooLong(length) }
        guard rest.count >= Self.headBytes + Int(length) else { return nil }
        let payload = rest.dropFirst(Self.headBytes).prefix(Int(length))
        start += Self.headBytes + Int(length)
        return try Self.frame(kind, stream, payload)
    }

    private static func frame(
        _ kind: UInt8, _ stream: UInt8, _ payload: ArraySlice<UInt8>
    ) throws(FrameFault) -> GuestFrame {
        func check(_ length: Int) throws(FrameFault) {
            guard payload.count == length else {
                throw .badLength(kind: kind, length: UInt32(payload.count))
            }
        }
        switch UInt32(kind) {
        case ALCOVE_FRAME_READY.rawValue:
            try check(MemoryLayout<alcove_guest_ready>.size)
            return .ready(
                version: Little.number(payload, at: 0),
                microseconds: Little.number(payload, at: 4),
                nanoseconds: Little.number(payload, at: 8))
        case ALCOVE_FRAME_STATISTICS.rawValue:
            try check(MemoryLayout<alcove_guest_statistics>.size)
            return .statistics(
                GuestStatistics(
                    memoryTotalBytes: Little.number(payload, at: 0),
                    memoryAvailableBytes: Little.number(payload, at: 8),
                    cpuNanoseconds: Little.number(payload, at: 16),
                    processes: Little.number(payload, at: 24),
                    outOfMemoryKills: Little.number(payload, at: 32)))
        case ALCOVE_FRAME_OUTPUT.rawValue:
            return .output(
                UInt32(stream) == UInt32(ALCOVE_LOG_ERROR) ? .error : .output, Array(payload))
        default:
            try check(MemoryLayout<alcove_guest_value>.size)
            let value: Int32 = Little.number(payload, at: 0)
            return try valued(kind, value, Little.number(payload, at: 4))
        }
    }

    private static func valued(
        _ kind: UInt8, _ value: Int32, _ detail: UInt32
    ) throws(FrameFault) -> GuestFrame {
        switch UInt32(kind) {
        case ALCOVE_FRAME_STARTED.rawValue: return .started(pid: value)
        case ALCOVE_FRAME_FAILED.rawValue: return .ended(.failed(error: value, stage: detail))
        case ALCOVE_FRAME_EXITED.rawValue: return .ended(.exited(code: value))
        case ALCOVE_FRAME_SIGNALED.rawValue:
            return .ended(
                .signaled(
                    signal: value, leftCore: detail & UInt32(ALCOVE_GUEST_DETAIL_CORE) != 0,
                    outOfMemory: detail & UInt32(ALCOVE_GUEST_DETAIL_OUT_OF_MEMORY) != 0))
        case ALCOVE_FRAME_REFUSED.rawValue: return .ended(.refused(reason: value))
        default: throw .unknownKind(kind)
        }
    }
}
