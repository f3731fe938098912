internal import CInitProtocol

/// What the guest's first process says. Corresponds to `ALCOVE_FRAME_…`.
public enum GuestFrame: Hashable, Sendable {
    public enum Stream: Hashable, Sendable {
        case output, error
    }

    /// It is ready for a process; how long its first process took, and since when its kernel
    /// counts.
    case ready(version: UInt32, microseconds: UInt32, nanoseconds: UInt64)
    case statistics(GuestStatistics)
    /// The process is being executed.
    case started(pid: Int32)
    case output(Stream, [UInt8])
    case ended(GuestProcessEnd)
}

/// How a process in the guest ended.
public enum GuestProcessEnd: Hashable, Sendable {
    case exited(code: Int32)
    case signaled(signal: Int32, leftCore: Bool, outOfMemory: Bool)
    /// It could not be executed; the stage is an `alcove_execute_stage`.
    case failed(error: Int32, stage: UInt32)
    /// An `alcove_refusal`.
    case refused(reason: Int32)
}

/// Of the whole guest.
public struct GuestStatistics: Hashable, Sendable {
    public let memoryTotalBytes: UInt64
    public let memoryAvailableBytes: UInt64
    public let cpuNanoseconds: UInt64
    public let processes: UInt64
    public let outOfMemoryKills: UInt64
}

/// What the host says.
public enum HostFrame: Sendable {
    case start(GuestStart)
    case input([UInt8])
    case inputEnd
    case signal(Int32)
    case resize(rows: UInt16, columns: UInt16)
    case askStatistics
    case clock(nanoseconds: UInt64)
    case reseed([UInt8])
    case hostname(String)
    case network(GuestNetwork)
    /// So many processes and threads at most; 2 or more.
    case processes(most: Int32)
    case powerOff

    public var bytes: [UInt8] {
        switch self {
        case .start(let start): Self.frame(ALCOVE_FRAME_START, start.bytes)
        case .input(let bytes): Self.frame(ALCOVE_FRAME_INPUT, bytes)
        case .inputEnd: Self.frame(ALCOVE_FRAME_INPUT_END, [])
        case .signal(let number): Self.value(ALCOVE_FRAME_SIGNAL, number)
        case .resize(let rows, let columns):
            Self.value(ALCOVE_FRAME_RESIZE, Int32(bitPattern: UInt32(rows) << 16 | UInt32(columns)))
        case .askStatistics: Self.frame(ALCOVE_FRAME_ASK_STATISTICS, [])
        case .clock(let nanoseconds): Self.frame(ALCOVE_FRAME_CLOCK, Little.bytes(nanoseconds))
        case .reseed(let bytes): Self.frame(ALCOVE_FRAME_RESEED, bytes)
        case .hostname(let name): Self.frame(ALCOVE_FRAME_HOSTNAME, Array(name.utf8))
        case .network(let network): Self.frame(ALCOVE_FRAME_NETWORK, network.bytes)
        case .processes(let most): Self.value(ALCOVE_FRAME_PROCESSES, most)
        case .powerOff: Self.frame(ALCOVE_FRAME_POWER_OFF, [])
        }
    }

    private static func value(_ kind: alcove_frame_kind, _ value: Int32) -> [UInt8] {
        frame(kind, Little.bytes(UInt32(bitPattern: value)) + [0, 0, 0, 0])
    }

    private static func frame(_ kind: alcove_frame_kind, _ payload: [UInt8]) -> [UInt8] {
        [UInt8(truncatingIfNeeded: kind.rawValue), 0, 0, 0]
            + Little.bytes(UInt32(truncatingIfNeeded: payload.count)) + payload
    }
}

/// What the guest's link is given. Corresponds to `struct alcove_guest_network`.
public struct GuestNetwork: Hashable, Sendable {
    /// Of version 4, as a number, like the others: 10.0.0.1 is 0x0a00_0001.
    public var address: UInt32
    public var prefixLength: UInt8
    /// 0 for none.
    public var gateway: UInt32
    /// 0 for none.
    public var nameServer: UInt32
    /// 0 leaves it.
    public var mtu: UInt16

    public init(
        address: UInt32, prefixLength: UInt8, gateway: UInt32 = 0, nameServer: UInt32 = 0,
        mtu: UInt16 = 0
    ) {
        self.address = address
        self.prefixLength = prefixLength
        self.gateway = gateway
        self.nameServer = nameServer
        self.mtu = mtu
    }

    var bytes: [UInt8] {
        // Addresses have their highest byte first.
        [address, gateway, nameServer].flatMap { Little.bytes($0.byteSwapped) }
            + [prefixLength, 0] + Little.bytes(mtu)
    }
}

/// Asks for a process. Corresponds to `struct alcove_guest_start` and what follows it.
public struct GuestStart: Sendable {
    public struct Limit: Hashable, Sendable {
        public let resource: UInt32
        public let soft: UInt64
        public let hard: UInt64

        public init(resource: UInt32, soft: UInt64, hard: UInt64) {
            self.resource = resource
            self.soft = soft
            self.hard = hard
        }
    }

    public var directory = "/"
    /// Paths, tried in order.
    public var programs: [String]
    public var arguments: [String]
    public var environment: [String] = []
    public var user: UInt32 = 0
    public var group: UInt32 = 0
    public var limits: [Limit] = []
    /// Its size; nil for none.
    public var terminal: (rows: UInt16, columns: UInt16)?
    public var hasInput = false

    public init(programs: [String], arguments: [String]) {
        self.programs = programs
        self.arguments = arguments
    }

    private var texts: [String] { [directory] + programs + arguments + environment }

    /// Why it cannot be sent, if so.
    public var fault: String? {
        if limits.count > Int(ALCOVE_GUEST_MOST_LIMITS) { return "too many limits" }
        if texts.count > Int(ALCOVE_GUEST_MOST_TEXTS) { return "too many arguments" }
        if texts.contains(where: { $0.utf8.contains(0) }) { return "a text with a zero byte" }
        if bytes.count > Int(ALCOVE_FRAME_START_LARGEST) {
            return "arguments and environment of more than \(ALCOVE_FRAME_START_LARGEST) bytes"
        }
        return nil
    }

    var bytes: [UInt8] {
        var flags: UInt32 = 0
        if terminal != nil { flags |= UInt32(ALCOVE_GUEST_TERMINAL) }
        if hasInput { flags |= UInt32(ALCOVE_GUEST_INPUT) }
        var bytes = Little.bytes(flags) + Little.bytes(user) + Little.bytes(group)
        for number in [
            terminal?.rows ?? 0, terminal?.columns ?? 0, UInt16(clamping: programs.count),
            UInt16(clamping: arguments.count), UInt16(clamping: environment.count),
            UInt16(clamping: limits.count),
        ] {
            bytes += Little.bytes(number)
        }
        for limit in limits {
            bytes += Little.bytes(limit.resource) + [0, 0, 0, 0]
            bytes += Little.bytes(limit.soft) + Little.bytes(limit.hard)
        }
        for text in texts { bytes += Array(text.utf8) + [0] }
        return bytes
    }
}

/// Numbers with the lowest byte first.
enum Little {
    static func bytes<Number: FixedWidthInteger>(_ value: Number) -> [UInt8] {
        (0..<Number.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> Number($0 * 8)) }
    }

    static func number<Number: FixedWidthInteger>(
        _ bytes: ArraySlice<UInt8>, at offset: Int, as: Number.Type = Number.self
    ) -> Number {
        var value: Number = 0
        for index in (0..<Number.bitWidth / 8).reversed() {
            value =
                value << 8 | Number(truncatingIfNeeded: bytes[bytes.startIndex + offset + index])
        }
        return value
    }
}
